package delta

import (
	"cmp"
	"slices"
)

// moves says where addresses of the old content are in the new one.
type moves struct {
	old     images
	parts   []part
	buckets []int32
	shift   uint

	known []knownMove // by hash of the address
	zones []zoneMove
}

// part is a piece of a copy within one segment of each side.
type part struct {
	old   int64
	size  int64
	shift uint64 // by how much addresses grow
}

type knownMove struct {
	from, to uint64
	image    int32
	valid    bool
}

type zoneMove struct {
	zone  uint64
	shift uint64
	valid bool
}

const knownBits = 15

// newMoves makes the map of one window; nil if it had too many parts.
func newMoves(old, new images, ops []operation) *moves {
	at := int64(0)
	m := &moves{old: old, known: make([]knownMove, 1<<knownBits), zones: make([]zoneMove, 1<<10)}
	if len(old.segments) == 0 {
		return m
	}
	for _, op := range ops {
		at += int64(op.literals)
		for o, n, left := op.old, at, int64(op.length); left > 0; {
			from, k := old.at(o)
			to, k2 := new.at(n)
			size := min(left, k, k2)
			if from != nil && to != nil {
				shift := (to.start + uint64(n-to.offset)) - (from.start + uint64(o-from.offset))
				if len(m.parts) == maxParts {
					return nil
				}
				m.parts = append(m.parts, part{o, size, shift})
			}
			o, n, left = o+size, n+size, left-size
		}
		at += int64(op.length)
	}
	m.sort()
	m.unfold()
	m.sort()
	m.makeBuckets()
	return m
}

func (m *moves) sort() {
	slices.SortStableFunc(m.parts, func(a, b part) int {
		return cmp.Or(cmp.Compare(a.old, b.old), cmp.Compare(b.size, a.size))
	})
}

// unfold leaves of overlapping parts the larger one.
func (m *moves) unfold() {
	n := 0
	for _, p := range m.parts {
		if n > 0 {
			last := &m.parts[n-1]
			if end := last.old + last.size; p.old < end {
				if p.size <= last.size {
					k := end - p.old
					if k >= p.size {
						continue
					}
					p.old += k
					p.size -= k
				}
			}
		}
		m.parts[n] = p
		n++
	}
	m.parts = m.parts[:n]
}

func (m *moves) makeBuckets() {
	if len(m.parts) == 0 {
		return
	}
	last := m.parts[len(m.parts)-1].old
	for m.shift = 6; last>>m.shift > 1<<17; {
		m.shift++
	}
	m.buckets = make([]int32, last>>m.shift+2)
	i := 0
	for b := range m.buckets {
		for i < len(m.parts) && m.parts[i].old < int64(b)<<m.shift {
			i++
		}
		m.buckets[b] = int32(i)
	}
}

// byCopy gives the shift of the part that holds an old position, or of the last one
// before it.
func (m *moves) byCopy(p int64) uint64 {
	if len(m.parts) == 0 {
		return 0
	}
	b := min(p>>m.shift, int64(len(m.buckets)-2))
	lo, hi := int(m.buckets[b]), int(m.buckets[b+1])
	for lo < hi {
		mid := (lo + hi) / 2
		if m.parts[mid].old <= p {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	for lo < len(m.parts) && m.parts[lo].old <= p { // beyond the last bucket
		lo++
	}
	return m.parts[max(lo-1, 0)].shift
}

// holds tells whether an address is in the image at all.
func (m *moves) holds(image int, a uint64) *segment { return m.old.holding(image, a) }

func hashMove(image int, a uint64) uint64 {
	return (a ^ uint64(image)<<56) * 0x9E3779B97F4A7C15
}

// predict gives the shift of an address of a segment.
func (m *moves) predict(s *segment, a uint64) (shift uint64, known bool) {
	k := &m.known[hashMove(s.image, a)>>(64-knownBits)]
	if k.valid && k.from == a && int(k.image) == s.image {
		return k.to - a, true
	}
	if a-s.start < uint64(s.size) {
		return m.byCopy(s.offset + int64(a-s.start)), false
	}
	z := &m.zones[hashMove(s.image, a>>10)>>(64-10)]
	if z.valid && z.zone == a>>10 {
		return z.shift, false
	}
	return m.byCopy(s.offset + s.size - 1), false
}

// learn notes where an address is, if that is not what was predicted.
func (m *moves) learn(s *segment, a, to uint64) {
	m.known[hashMove(s.image, a)>>(64-knownBits)] = knownMove{a, to, int32(s.image), true}
	if a-s.start >= uint64(s.size) {
		m.zones[hashMove(s.image, a>>10)>>(64-10)] = zoneMove{a >> 10, to - a, true}
	}
}
