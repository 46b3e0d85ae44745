package delta

import "sort"

// segment is a part of an executable: where it stands in the content and in memory.
type segment struct {
	image  int    // number of the executable
	kind   int    // of the machine if it is code
	offset int64  // in the content
	size   int64  // bytes of the content
	start  uint64 // address
	extent uint64 // bytes of memory, not less than size
}

const (
	kindData = iota
	kindX86
	kindARM
	kindRaw // outside of any
)

// clip gives the segments of a part of a content.
func clip(all []segment, at, size int64) (list []segment) {
	for _, s := range all {
		from, to := max(s.offset, at), min(s.offset+s.size, at+size)
		if from >= to {
			continue
		}
		part := segment{s.image, s.kind, from - at, to - from, s.start + uint64(from-s.offset), uint64(to - from)}
		if to == s.offset+s.size {
			part.extent += s.extent - uint64(s.size)
		}
		list = append(list, part)
	}
	return list[:min(len(list), maxSegments)]
}

// images finds segments by position and by address.
type images struct {
	segments []segment // by offset
	last     int
}

// at gives the segment that holds a position, or the number of bytes to the next one.
func (m *images) at(p int64) (*segment, int64) {
	if m.last < len(m.segments) {
		if s := &m.segments[m.last]; p >= s.offset && p < s.offset+s.size {
			return s, s.offset + s.size - p
		}
	}
	i := sort.Search(len(m.segments), func(i int) bool { return m.segments[i].offset+m.segments[i].size > p })
	if i == len(m.segments) {
		return nil, 1 << 62
	}
	s := &m.segments[i]
	if p < s.offset {
		return nil, s.offset - p
	}
	m.last = i
	return s, s.offset + s.size - p
}

// holding gives the segment of an image that holds an address.
func (m *images) holding(image int, a uint64) *segment {
	for i := range m.segments {
		s := &m.segments[i]
		if s.image == image && a-s.start < s.extent {
			return s
		}
	}
	return nil
}
