package delta

import (
	"bytes"
	"encoding/binary"
)

// rewriter makes a copy of old content in which references are as they are
// expected in the new one, so that more of it matches.
type rewriter struct {
	p     []byte // old
	to    []byte // rewritten
	moves *moves
	image int
}

func rewrite(p []byte, m *moves) ([]byte, map[uint64]bool) {
	r := &rewriter{p: p, to: bytes.Clone(p), moves: m}
	tables := map[uint64]bool{}
	for i := range m.old.segments {
		if s := &m.old.segments[i]; s.kind == kindX86 {
			r.code(s, tables)
		}
	}
	for i := range m.old.segments {
		if s := &m.old.segments[i]; s.kind == kindARM {
			r.codeARM(s)
		}
	}
	r.sections()
	r.jumpTables(tables)
	return r.to, tables
}

// shift gives the shift of an address, if it is one.
func (r *rewriter) shift(a uint64) (uint64, bool) {
	s := r.moves.holds(r.image, a)
	if s == nil {
		return 0, false
	}
	shift, _ := r.moves.predict(s, a)
	return shift, true
}

func (r *rewriter) code(s *segment, tables map[uint64]bool) {
	r.image = s.image
	p := r.p[s.offset : s.offset+s.size]
	for i := 3; i+4 <= len(p); {
		if _, is := fieldX86(p[i-1], p[i-2], p[i-3]); !is {
			i++
			continue
		}
		place := s.start + uint64(i) + 4
		v := binary.LittleEndian.Uint32(p[i:])
		target := place + uint64(int64(int32(v)))
		shift, ok := r.shift(target)
		if !ok {
			i++
			continue
		}
		if p[i-2] == 0x8d && p[i-1]&0xc7 == 5 && target&3 == 0 {
			tables[target] = true
		}
		own, _ := r.shift(place - 4)
		binary.LittleEndian.PutUint32(r.to[s.offset+int64(i):], v+uint32(shift-own))
		i += 4
	}
}

type sectionHeader struct {
	name                               string
	kind                               uint32
	flags, address, offset, size, each uint64
	link                               uint32
}

func allSections(p []byte) (all []sectionHeader) {
	le := binary.LittleEndian
	if len(p) < 64 || string(p[:4]) != "\x7fELF" {
		return nil
	}
	at, n, names := le.Uint64(p[40:]), uint64(le.Uint16(p[60:])), uint64(le.Uint16(p[62:]))
	if at > uint64(len(p)) || n*64 > uint64(len(p))-at || names >= n {
		return nil
	}
	table := le.Uint64(p[at+names*64+24:])
	for i := range n {
		h := p[at+i*64:]
		s := sectionHeader{kind: le.Uint32(h[4:]), flags: le.Uint64(h[8:]), address: le.Uint64(h[16:]), offset: le.Uint64(h[24:]), size: le.Uint64(h[32:]), each: le.Uint64(h[56:]), link: le.Uint32(h[40:])}
		if s.address == 0 {
			s.address = unmapped | s.offset
		}
		name := table + uint64(le.Uint32(h))
		if name < uint64(len(p)) {
			if end := bytes.IndexByte(p[name:], 0); end >= 0 && end < 100 {
				s.name = string(p[name : name+uint64(end)])
			}
		}
		if i == 0 {
			all = append(all, sectionHeader{})
			continue
		}
		if s.kind == 8 {
			s.size = 0
		}
		if s.offset > uint64(len(p)) || s.size > uint64(len(p))-s.offset {
			continue
		}
		all = append(all, s)
	}
	return all
}

func (r *rewriter) sections() {
	r.image = 0
	base := uint64(0)
	if len(r.moves.old.segments) > 0 {
		base = r.moves.old.segments[0].start
	}
	all := allSections(r.p)
	for _, s := range all {
		from, to := r.p[s.offset:s.offset+s.size], r.to[s.offset:s.offset+s.size]
		switch {
		case s.kind == 4:
			for i := 0; i+24 <= len(from); i += 24 {
				r.wide(from[i:], to[i:])
				r.wide(from[i+16:], to[i+16:])
			}
		case s.kind == 2 || s.kind == 11:
			for i := 0; i+24 <= len(from); i += 24 {
				r.wide(from[i+8:], to[i+8:])
				if int(s.link) < len(all) {
					r.narrow(from[i:], to[i:], all[s.link].address, all[s.link].address)
				}
			}
		case s.name == ".eh_frame_hdr":
			for i := 12; i+4 <= len(from); i += 4 {
				r.narrow(from[i:], to[i:], s.address, s.address)
			}
		case s.name == ".eh_frame":
			r.frames(from, to, s.address)
		case s.name == ".gopclntab":
			r.functions(from, to, s.address, all)
		case s.kind == 1 && s.flags&4 == 0 && s.flags&2 != 0 && base >= 0x10000:
			for i := int(-s.address & 7); i+8 <= len(from); i += 8 {
				r.wide(from[i:], to[i:])
			}
		}
	}
}

func (r *rewriter) wide(from, to []byte) {
	v := binary.LittleEndian.Uint64(from)
	if v == 0 {
		return
	}
	if shift, ok := r.shift(v); ok {
		binary.LittleEndian.PutUint64(to, v+shift)
	}
}

// narrow rewrites a word that is relative to a base.
func (r *rewriter) narrow(from, to []byte, base, origin uint64) {
	v := binary.LittleEndian.Uint32(from)
	shift, ok := r.shift(base + uint64(int64(int32(v))))
	own, ok2 := r.shift(origin)
	if ok && ok2 {
		binary.LittleEndian.PutUint32(to, v+uint32(shift-own))
	}
}

func (r *rewriter) frames(from, to []byte, address uint64) {
	for i := 0; i+12 <= len(from); {
		n := int(binary.LittleEndian.Uint32(from[i:]))
		if n < 8 || n > len(from)-i-4 {
			return
		}
		if binary.LittleEndian.Uint32(from[i+4:]) != 0 {
			a := address + uint64(i) + 8
			r.narrow(from[i+8:], to[i+8:], a, a)
		}
		i += 4 + n
	}
}

func (r *rewriter) functions(from, to []byte, address uint64, all []sectionHeader) {
	le := binary.LittleEndian
	text, gofunc := uint64(0), uint64(0)
	for _, s := range all {
		switch s.name {
		case ".text":
			text = s.address
		case ".go.func":
			gofunc = s.address
		}
	}
	if len(from) < 72 || text == 0 {
		return
	}
	count := le.Uint64(from[8:])
	names, pctab, table := le.Uint64(from[32:]), le.Uint64(from[56:]), le.Uint64(from[64:])
	if table > uint64(len(from)) || count > (uint64(len(from))-table)/8 {
		return
	}
	word := func(at uint64, base uint64) {
		if at+4 <= uint64(len(from)) && le.Uint32(from[at:]) != ^uint32(0) {
			r.narrow(from[at:], to[at:], base, base)
		}
	}
	for i := range count {
		word(table+i*8, text)
		word(table+i*8+4, address+table)
		f := table + uint64(le.Uint32(from[table+i*8+4:]))
		if f+44 > uint64(len(from)) {
			continue
		}
		word(f, text)
		word(f+4, address+names)
		for _, k := range []uint64{16, 20, 24} {
			word(f+k, address+pctab)
		}
		n := uint64(le.Uint32(from[f+28:]))
		k := uint64(from[f+43])
		for j := range min(n, 100) {
			word(f+44+j*4, address+pctab)
		}
		if gofunc != 0 {
			for j := range k {
				word(f+44+n*4+j*4, gofunc)
			}
		}
	}
}

func (r *rewriter) jumpTables(tables map[uint64]bool) {
	for t := range tables {
		s := r.moves.holds(r.image, t)
		if s == nil || s.kind == kindX86 {
			continue
		}
		own, _ := r.shift(t)
		at := t - s.start
		for k := uint64(0); at+k+4 <= uint64(s.size); k += 4 {
			if k > 0 && tables[t+k] {
				break
			}
			i := s.offset + int64(at+k)
			v := binary.LittleEndian.Uint32(r.p[i:])
			target := t + uint64(int64(int32(v)))
			x := r.moves.holds(r.image, target)
			if x == nil || x.kind != kindX86 {
				break
			}
			shift, _ := r.shift(target)
			binary.LittleEndian.PutUint32(r.to[i:], v+uint32(shift-own))
		}
	}
}

func (r *rewriter) codeARM(s *segment) {
	r.image = s.image
	p := r.p[s.offset : s.offset+s.size]
	var pages [32]uint64
	for i := 0; i+4 <= len(p); i += 4 {
		w := binary.LittleEndian.Uint32(p[i:])
		ctx, is := fieldARM(w)
		if !is {
			continue
		}
		place := s.start + uint64(i)
		target := uint64(0)
		switch ctx {
		case armCall, armJump:
			target = place + uint64(int64(int32(w<<6))>>4)
		case armPage:
			var m machine
			pages[w&31] = armPageOf(place, w)
			target = pages[w&31] + m.lowAfter(p[i+4:], w&31)
		default:
			if pages[w>>5&31] == 0 {
				continue
			}
			target = pages[w>>5&31] + armLow(w, ctx)
		}
		shift, ok := r.shift(target)
		if !ok {
			continue
		}
		own, _ := r.shift(place)
		binary.LittleEndian.PutUint32(r.to[s.offset+int64(i):], armRefer(w, ctx, place+own, target+shift))
	}
}
