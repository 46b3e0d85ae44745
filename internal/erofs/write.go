package erofs

import (
	"bufio"
	"encoding/binary"
	"io"
)

// Magic numbers.
const (
	composefsMagic = 0xd078629a
	erofsMagic     = 0xE0F5E1E2
	hasMtime       = 2
	hasFilter      = 4
	hasACL         = 1
)

// Kinds of layout: where data is.
const (
	layoutPlain  = 0
	layoutInline = 2
	layoutChunks = 4
)

// noChunk is a chunk that is nowhere: it reads as zeros.
var noChunk = []byte{0xff, 0xff, 0xff, 0xff}

// WriteTo implements io.WriterTo. The image may be written more than once.
func (img *Image) WriteTo(w io.Writer) (int64, error) {
	out := &writer{w: bufio.NewWriterSize(w, 256<<10)}
	img.super(out)
	for _, n := range img.order {
		i := &img.nodes[n]
		out.to(int64(i.nid) * slotSize)
		img.inode(out, i)
		img.tail(out, n, i)
	}
	out.to(img.inodesEnd)
	for _, n := range img.shared {
		img.attribute(out, &img.pairs.list[n])
	}
	out.to(img.dataStart)
	for _, n := range img.order {
		if i := &img.nodes[n]; i.blocks > 0 {
			img.data(out, n, i)
			out.to(alignUp(out.at, blockSize))
		}
	}
	if out.err == nil {
		out.err = out.w.Flush()
	}
	return out.at, out.err
}

// writer counts, and keeps the first error.
type writer struct {
	w   *bufio.Writer
	at  int64
	err error
	buf [128]byte
}

func (o *writer) write(p []byte) {
	if o.err == nil {
		_, o.err = o.w.Write(p)
	}
	o.at += int64(len(p))
}

var zeros [blockSize]byte

// to writes zeros up to a place.
func (o *writer) to(at int64) {
	for o.at < at {
		o.write(zeros[:min(at-o.at, blockSize)])
	}
}

// super writes both headers.
func (img *Image) super(o *writer) {
	le := binary.LittleEndian
	head := o.buf[:32]
	clear(head)
	le.PutUint32(head, composefsMagic)
	le.PutUint32(head[4:], 1)
	if img.acl {
		le.PutUint32(head[8:], hasACL)
	}
	le.PutUint32(head[12:], uint32(img.version))
	o.write(head)
	o.to(superOffset)
	s := o.buf[:superSize]
	clear(s)
	le.PutUint32(s, erofsMagic)
	le.PutUint32(s[8:], hasMtime|hasFilter)
	s[12] = 12 // log2 of the block size
	le.PutUint16(s[14:], uint16(img.nodes[0].nid))
	le.PutUint64(s[16:], uint64(len(img.order)))
	le.PutUint64(s[24:], uint64(img.oldest.sec))
	le.PutUint32(s[32:], img.oldest.nsec)
	le.PutUint32(s[36:], uint32(img.blocks))
	le.PutUint32(s[44:], uint32(img.inodesEnd/blockSize))
	o.write(s)
}

// inode writes an inode and its attributes.
func (img *Image) inode(o *writer, i *inode) {
	body, shared := img.body(i)
	layout, u := img.where(i)
	le := binary.LittleEndian
	long := img.extended(i)
	h := o.buf[:img.header(i)]
	clear(h)
	format := uint16(layout << 1)
	if long {
		format |= 1
	}
	le.PutUint16(h, format)
	if body > 0 {
		le.PutUint16(h[2:], uint16((body-xattrHeader)/4+1))
	}
	le.PutUint16(h[4:], i.mode)
	size := i.size
	switch i.kind() {
	case typeDir, typeFile, typeLink:
	default:
		size = 0
	}
	le.PutUint32(h[16:], u)
	le.PutUint32(h[20:], i.number)
	if long {
		le.PutUint64(h[8:], size)
		le.PutUint32(h[24:], i.uid)
		le.PutUint32(h[28:], i.gid)
		le.PutUint64(h[32:], uint64(i.sec))
		le.PutUint32(h[40:], i.nsec)
		le.PutUint32(h[44:], i.nlink)
	} else {
		le.PutUint16(h[6:], uint16(i.nlink))
		le.PutUint32(h[8:], uint32(size))
		le.PutUint16(h[24:], uint16(i.uid))
		le.PutUint16(h[26:], uint16(i.gid))
	}
	o.write(h)
	if body > 0 {
		img.attributes(o, i, shared)
	}
}

// where says how an inode's data is laid out, and the word that leads to it.
func (img *Image) where(i *inode) (layout int, u uint32) {
	first := uint32(0)
	if i.blocks > 0 {
		first = uint32(img.dataStart/blockSize) + i.block
	}
	switch {
	case i.kind() == typeChar || i.kind() == typeBlock:
		return layoutPlain, i.rdev
	case i.kind() == typeFile && !i.inside && i.size > 0:
		// Upstream leaves half of the block's number standing when the chunks moved there.
		return layoutChunks, first&0xffff0000 | uint32(chunkBits(i.size)-leastChunkBits)
	case i.tail > 0:
		return layoutInline, first
	}
	return layoutPlain, first
}

func (img *Image) attributes(o *writer, i *inode, shared int) {
	filter := ^uint32(0)
	for _, n := range img.list(i) {
		filter &^= img.pairs.attributes[img.pairs.list[n].attribute].filter
	}
	le := binary.LittleEndian
	h := o.buf[:xattrHeader]
	clear(h)
	le.PutUint32(h, filter)
	h[4] = uint8(shared)
	o.write(h)
	left := shared
	for _, n := range img.list(i) {
		if p := &img.pairs.list[n]; p.users > 1 && left > 0 {
			left--
			le.PutUint32(o.buf[:], uint32((img.inodesEnd%blockSize+int64(p.place))/4))
			o.write(o.buf[:4])
		}
	}
	for _, n := range img.list(i) {
		p := &img.pairs.list[n]
		if p.users > 1 && shared > 0 {
			shared--
			continue
		}
		img.attribute(o, p)
	}
}

func (img *Image) attribute(o *writer, p *pair) {
	a := &img.pairs.attributes[p.attribute]
	end := o.at + int64(img.pairs.stored(p))
	h := o.buf[:4]
	h[0], h[1] = uint8(len(a.suffix)), a.index
	binary.LittleEndian.PutUint16(h[2:], uint16(p.size))
	o.write(append(h, a.suffix...))
	o.write(img.pairs.value(p))
	o.to(end)
}

// tail writes what stands behind an inode.
func (img *Image) tail(o *writer, n int32, i *inode) {
	switch {
	case i.tail == 0:
	case i.kind() == typeDir:
		img.directory(o, n, func(last bool) bool { return last })
	case i.kind() == typeLink || i.inside:
		data := img.bytes(i.data)
		o.write(data[len(data)-int(i.tail):])
	default:
		for range i.tail / 4 {
			o.write(noChunk)
		}
	}
}

// data writes an inode's blocks, the last of which may not be full.
func (img *Image) data(o *writer, n int32, i *inode) {
	switch {
	case i.kind() == typeDir:
		img.directory(o, n, func(last bool) bool { return !last || i.tail == 0 })
	case i.kind() == typeLink || i.inside:
		data := img.bytes(i.data)
		o.write(data[:len(data)-int(i.tail)])
	default:
		for range blockSize / 4 {
			o.write(noChunk)
		}
	}
}

// fileTypes are the numbers of types in directories.
var fileTypes = map[uint16]uint8{typeFile: 1, typeDir: 2, typeChar: 3, typeBlock: 4, typeFifo: 5, typeSock: 6, typeLink: 7}

// directory writes those blocks of a directory that are wanted, all but the last
// filled with zeros.
func (img *Image) directory(o *writer, n int32, wanted func(last bool) bool) {
	b := dirBlock{}
	flush := func(last bool) {
		if wanted(last) {
			b.writeTo(o)
			if !last {
				o.to(alignUp(o.at, blockSize))
			}
		}
		b.heads, b.names = b.heads[:0], b.names[:0]
	}
	img.entries(n, func(name []byte, target int32) {
		if len(b.heads)+len(b.names)+entrySize+len(name) > blockSize {
			flush(false)
		}
		i := &img.nodes[target]
		var head [entrySize]byte
		binary.LittleEndian.PutUint64(head[:], uint64(i.nid))
		binary.LittleEndian.PutUint16(head[8:], uint16(len(b.names))) // where the names begin is not known yet
		head[10] = fileTypes[i.kind()]
		b.heads = append(b.heads, head[:]...)
		b.names = append(b.names, name...)
	})
	flush(true)
}

// dirBlock is a block of a directory.
type dirBlock struct{ heads, names []byte }

func (b *dirBlock) writeTo(o *writer) {
	for h := b.heads; len(h) > 0; h = h[entrySize:] {
		at := binary.LittleEndian.Uint16(h[8:])
		binary.LittleEndian.PutUint16(h[8:], at+uint16(len(b.heads)))
	}
	o.write(b.heads)
	o.write(b.names)
}
