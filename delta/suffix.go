package delta

// suffixes gives the starts of all suffixes of text, in the order of the suffixes:
// induced sorting (Nong, Zhang and Chan, "Two efficient algorithms for linear time
// suffix array construction", 2011). It takes 4 bytes for each byte of text, and
// about 2 more while it works.
func suffixes(text []byte) []int32 {
	sa := make([]int32, len(text))
	sortSuffixes(text, sa, 256)
	return sa
}

// symbol is what a text to be sorted is made of: bytes, or the names of substrings.
type symbol interface{ ~byte | ~int32 }

// sorter sorts the suffixes of one text whose symbols are below the length of
// starts.
type sorter[T symbol] struct {
	text   []T
	sa     []int32
	rising []uint64 // a bit for each suffix that is smaller than the one after it
	starts []int32  // of each symbol's bucket in sa
	cursor []int32
}

func sortSuffixes[T symbol](text []T, sa []int32, symbols int) {
	if len(text) < 2 {
		clear(sa)
		return
	}
	s := &sorter[T]{text: text, sa: sa, starts: make([]int32, symbols+1), cursor: make([]int32, symbols)}
	s.classify()
	s.seedUnsorted()
	s.induce()
	count, names := s.name()
	reduced := sa[len(sa)-count:]
	if names < count {
		sortSuffixes(reduced, sa[:count], names)
	} else {
		for i, name := range reduced {
			sa[name] = int32(i)
		}
	}
	s.seedSorted(count)
	s.induce()
}

// classify finds the rising suffixes and the buckets.
func (s *sorter[T]) classify() {
	n := len(s.text)
	s.rising = make([]uint64, n/64+1)
	rising := false
	for i := n - 2; i >= 0; i-- {
		a, b := s.text[i], s.text[i+1]
		if rising = a < b || a == b && rising; rising {
			s.rising[i>>6] |= 1 << (i & 63)
		}
	}
	for _, c := range s.text {
		s.starts[int(c)+1]++
	}
	for c := range len(s.starts) - 1 {
		s.starts[c+1] += s.starts[c]
	}
}

func (s *sorter[T]) rises(i int32) bool { return s.rising[i>>6]>>(i&63)&1 != 0 }

// valley tells whether a rising suffix follows a falling one at i.
func (s *sorter[T]) valley(i int32) bool { return i > 0 && s.rises(i) && !s.rises(i-1) }

// seedUnsorted puts the valleys at the ends of their buckets in any order.
func (s *sorter[T]) seedUnsorted() {
	fill(s.sa)
	copy(s.cursor, s.starts[1:])
	for i := int32(1); int(i) < len(s.text); i++ {
		if s.valley(i) {
			c := s.text[i]
			s.cursor[c]--
			s.sa[s.cursor[c]] = i
		}
	}
}

func fill(p []int32) {
	for i := range p {
		p[i] = -1
	}
}

// induce puts all suffixes in order, if the valleys are in order.
func (s *sorter[T]) induce() {
	text, sa, cursor := s.text, s.sa, s.cursor
	copy(cursor, s.starts)
	last := int32(len(text) - 1)
	sa[cursor[text[last]]] = last
	cursor[text[last]]++
	for i := range sa {
		if p := sa[i] - 1; p >= 0 && !s.rises(p) {
			c := text[p]
			sa[cursor[c]] = p
			cursor[c]++
		}
	}
	copy(cursor, s.starts[1:])
	for i := len(sa) - 1; i >= 0; i-- {
		if p := sa[i] - 1; p >= 0 && s.rises(p) {
			c := text[p]
			cursor[c]--
			sa[cursor[c]] = p
		}
	}
}

// name numbers the substrings from valley to valley in their order, equal ones the
// same, and leaves the numbers at the end of sa in the order of the text.
func (s *sorter[T]) name() (count, names int) {
	sa := s.sa
	for _, p := range sa {
		if s.valley(p) {
			sa[count] = p
			count++
		}
	}
	fill(sa[count:])
	previous := int32(-1)
	for _, p := range sa[:count] {
		if previous < 0 || !s.sameSubstring(previous, p) {
			names++
		}
		sa[count+int(p/2)] = int32(names - 1)
		previous = p
	}
	to := len(sa)
	for i := len(sa) - 1; i >= count; i-- {
		if sa[i] >= 0 {
			to--
			sa[to] = sa[i]
		}
	}
	return count, names
}

func (s *sorter[T]) sameSubstring(a, b int32) bool {
	n := int32(len(s.text))
	for i := int32(0); ; i++ {
		if a+i == n || b+i == n {
			return false
		}
		if s.text[a+i] != s.text[b+i] || s.rises(a+i) != s.rises(b+i) {
			return false
		}
		if i > 0 {
			endA, endB := s.valley(a+i), s.valley(b+i)
			if endA || endB {
				return endA && endB
			}
		}
	}
}

// seedSorted turns the order of the reduced text in sa[:count] into the valleys at
// the ends of their buckets.
func (s *sorter[T]) seedSorted(count int) {
	sa := s.sa
	at := len(sa) - count
	for i := int32(1); int(i) < len(s.text); i++ {
		if s.valley(i) {
			sa[at] = i
			at++
		}
	}
	valleys := sa[len(sa)-count:]
	for i, rank := range sa[:count] {
		sa[i] = valleys[rank]
	}
	fill(sa[count:])
	copy(s.cursor, s.starts[1:])
	for i := count - 1; i >= 0; i-- {
		p := sa[i]
		sa[i] = -1
		c := s.text[p]
		s.cursor[c]--
		s.sa[s.cursor[c]] = p
	}
}
