package delta

import (
	"bytes"
	"encoding/binary"
)

// findImages finds the segments of the executables in a content.
func findImages(p []byte) (all []segment) {
	for at := 0; ; {
		i := bytes.Index(p[at:], []byte("\x7fELF\x02\x01\x01"))
		if i < 0 || len(all) >= maxSegments {
			return all[:min(len(all), maxSegments)]
		}
		at += i
		segs, size := parseELF(p[at:], at, countImages(all))
		all = append(all, segs...)
		at += max(size, 8)
	}
}

func countImages(s []segment) int {
	if len(s) == 0 {
		return 0
	}
	return s[len(s)-1].image + 1
}

func parseELF(p []byte, at, image int) (segs []segment, size int) {
	le := binary.LittleEndian
	if len(p) < 64 {
		return nil, 0
	}
	machine := le.Uint16(p[18:])
	phoff := le.Uint64(p[32:])
	n, each := int(le.Uint16(p[56:])), int(le.Uint16(p[54:]))
	if phoff > uint64(len(p)) || n > 64 || each < 56 || int(phoff)+n*each > len(p) {
		return nil, 0
	}
	end := int64(0)
	for i := range n {
		h := p[int(phoff)+i*each:]
		if le.Uint32(h) != 1 {
			continue
		}
		off, va, fsz, msz := int64(le.Uint64(h[8:])), le.Uint64(h[16:]), int64(le.Uint64(h[32:])), le.Uint64(h[40:])
		if off < end || fsz < 0 || off+fsz > int64(len(p)) || off < 0 || msz < uint64(fsz) {
			return nil, 0
		}
		kind := kindData
		if le.Uint32(h[4:])&1 != 0 {
			switch machine {
			case 62:
				kind = kindX86
			case 183:
				kind = kindARM
			}
		}
		if off > end {
			segs = append(segs, segment{image, kindData, int64(at) + end, off - end, unmapped | uint64(end), uint64(off - end)})
		}
		whole := segment{image, kind, off, fsz, va, msz}
		for _, s := range splitCode(p, whole) {
			s.offset += int64(at)
			segs = append(segs, s)
		}
		end = off + fsz
	}
	if tail := fileEnd(p); tail > end {
		segs = append(segs, segment{image, kindData, int64(at) + end, tail - end, unmapped | uint64(end), uint64(tail - end)})
		end = tail
	}
	return segs, int(end)
}

// unmapped is where parts of a file have their addresses that are not in memory.
const unmapped = 1 << 62

// fileEnd gives where the last section ends, or the table of sections.
func fileEnd(p []byte) int64 {
	end := int64(0)
	le := binary.LittleEndian
	if at, n := le.Uint64(p[40:]), uint64(le.Uint16(p[60:])); at < uint64(len(p)) && at+n*64 <= uint64(len(p)) {
		end = int64(at + n*64)
	}
	for _, s := range allSections(p) {
		end = max(end, int64(s.offset+s.size))
	}
	return end
}

// splitCode parts a segment that may be executed where sections say that not all of it
// is code.
func splitCode(p []byte, whole segment) (parts []segment) {
	if whole.kind == kindData {
		return []segment{whole}
	}
	all := allSections(p)
	if len(all) == 0 {
		return []segment{whole}
	}
	end := whole.offset + whole.size
	at := whole.offset
	add := func(to int64, kind int) {
		if to > at {
			parts = append(parts, segment{whole.image, kind, at, to - at, whole.start + uint64(at-whole.offset), uint64(to - at)})
			at = to
		}
	}
	for _, s := range all {
		if s.kind != 1 || s.flags&4 == 0 || int64(s.offset) < at || int64(s.offset+s.size) > end {
			continue
		}
		from, to := int64(s.offset), int64(s.offset+s.size)
		if len(parts) > 0 && from-at < 64 && parts[len(parts)-1].kind == whole.kind {
			parts[len(parts)-1].size += to - at
			parts[len(parts)-1].extent += uint64(to - at)
			at = to
			continue
		}
		add(from, kindData)
		add(to, whole.kind)
	}
	add(end, kindData)
	if n := len(parts); n > 0 {
		parts[n-1].extent += whole.extent - uint64(whole.size)
	}
	return parts
}
