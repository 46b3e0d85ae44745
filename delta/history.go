package delta

import "io"

// history is the end of the new content as far as it was made; what falls out of
// it goes to w.
type history struct {
	w    io.Writer
	p    []byte
	base int64 // position of p[0]
	sent int   // bytes of p
	err  error
}

const (
	keep  = 1 << 20
	flush = 2 << 20
)

func (h *history) room() {
	if len(h.p) < flush {
		return
	}
	h.send()
	n := len(h.p) - keep
	copy(h.p, h.p[n:])
	h.p = h.p[:keep]
	h.base += int64(n)
	h.sent = keep
}

func (h *history) send() {
	if h.err == nil && h.w != nil {
		_, h.err = h.w.Write(h.p[h.sent:])
	}
	h.sent = len(h.p)
}

func (h *history) end() int64 { return h.base + int64(len(h.p)) }

// pages gives any short range of the old content.
type pages struct {
	r     io.ReaderAt
	size  int64
	page  [pageCount][]byte
	which [pageCount]int64
	cross []byte
	err   error
}

const (
	pageSize  = 16 << 10
	pageCount = 64
)

func newPages(r io.ReaderAt, size int64) *pages {
	p := &pages{r: r, size: size, cross: make([]byte, 256)}
	for i := range p.which {
		p.which[i] = -1
	}
	return p
}

// view gives up to 256 bytes; they are valid until the next call.
func (p *pages) view(at int64, n int) []byte {
	page := p.load(at / pageSize)
	from := int(at % pageSize)
	if from+n <= pageSize {
		return page[from : from+n]
	}
	k := copy(p.cross[:n], page[from:])
	copy(p.cross[k:n], p.load(at/pageSize+1))
	return p.cross[:n]
}

func (p *pages) load(n int64) []byte {
	slot := n % pageCount
	if p.which[slot] == n {
		return p.page[slot]
	}
	if p.page[slot] == nil {
		p.page[slot] = make([]byte, pageSize)
	}
	q := p.page[slot]
	k := min(pageSize, p.size-n*pageSize)
	if err := readAt(p.r, q[:k], n*pageSize); err != nil && p.err == nil {
		p.err = err
	}
	p.which[slot] = n
	return q
}
