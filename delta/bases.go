package delta

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
	"strings"
)

// findBases finds what words of tables are counted from: candidates are where
// sections begin and what the Go runtime's own directory points to; those are
// chosen that explain most of the words that changed.
func findBases(m *machine, o, n []byte, ops []operation) []base {
	candidates := append(goBases(o, n, &m.olds, &m.news), sectionBases(o, n, &m.olds, &m.news)...)
	seen := map[base]bool{}
	unique := candidates[:0]
	for _, b := range candidates {
		if !seen[b] {
			unique = append(unique, b)
			seen[b] = true
		}
	}
	return chooseBases(m, o, n, ops, unique)
}

func goBases(o, n []byte, olds, news *images) (list []base) {
	a, b := goDirectory(o, olds), goDirectory(n, news)
	for i := 0; i+8 <= min(len(a), len(b), 0x260); i += 8 {
		x, y := binary.LittleEndian.Uint64(a[i:]), binary.LittleEndian.Uint64(b[i:])
		if olds.holding(0, x) != nil && news.holding(0, y) != nil {
			list = append(list, base{x, y})
		}
	}
	return list
}

// goDirectory finds the words from which the Go runtime finds its tables: they
// begin with the addresses of the table of functions and of its names.
func goDirectory(p []byte, m *images) []byte {
	for at := 0; ; at += 4 {
		i := bytes.Index(p[at:], []byte{0xf1, 0xff, 0xff, 0xff, 0, 0})
		if i < 0 {
			return nil
		}
		if at += i; at+40 > len(p) || at&7 != 0 {
			continue
		}
		s, _ := m.at(int64(at))
		if s == nil {
			continue
		}
		address := s.start + uint64(int64(at)-s.offset)
		var want [16]byte
		binary.LittleEndian.PutUint64(want[:], address)
		binary.LittleEndian.PutUint64(want[8:], address+binary.LittleEndian.Uint64(p[at+32:]))
		if i := bytes.Index(p, want[:]); i >= 0 {
			return p[i:]
		}
	}
}

func sectionBases(o, n []byte, olds, news *images) (list []base) {
	a, b := sections(o), sections(n)
	for name, x := range a {
		if strings.HasPrefix(name, ".note") {
			continue
		}
		if y, both := b[name]; both && x != 0 && y != 0 {
			list = append(list, base{x, y})
		}
	}
	slices.SortFunc(list, func(a, b base) int { return cmp.Compare(a.old, b.old) })
	return list
}

func sections(p []byte) map[string]uint64 {
	all := map[string]uint64{}
	for _, s := range allSections(p) {
		all[s.name] = s.address
	}
	return all
}

// chooseBases keeps the bases that explain most.
func chooseBases(m *machine, o, n []byte, ops []operation, candidates []base) []base {
	const tooFew = 30
	moves := newMoves(m.olds, m.news, ops)
	if moves == nil || len(m.olds.segments) == 0 {
		return nil
	}
	left := changedWords(m, o, n, ops)
	var chosen []base
	for len(chosen) < maxBases && len(candidates) > 0 {
		best, bestCount := -1, tooFew
		for i, b := range candidates {
			count := 0
			for _, w := range left {
				if w.explained(moves, b) {
					count++
				}
			}
			if count > bestCount+bestCount/16 {
				best, bestCount = i, count
			}
		}
		if best < 0 {
			break
		}
		b := candidates[best]
		chosen = append(chosen, b)
		candidates = slices.Delete(candidates, best, best+1)
		left = slices.DeleteFunc(left, func(w changedWord) bool { return w.explained(moves, b) })
	}
	return chosen
}

type changedWord struct {
	image    int
	old, new uint32
}

func (w changedWord) explained(m *moves, b base) bool {
	target := b.old + uint64(int64(int32(w.old)))
	s := m.holds(w.image, target)
	if s == nil {
		return false
	}
	shift, _ := m.predict(s, target)
	return uint32(target+shift-b.new) == w.new
}

func changedWords(m *machine, o, n []byte, ops []operation) (list []changedWord) {
	const most = 1 << 15
	at := int64(0)
	for _, op := range ops {
		at += int64(op.literals)
		for i := (4 - at&3) & 3; i+4 <= int64(op.length); i += 4 {
			a, b := binary.LittleEndian.Uint32(o[op.old+i:]), binary.LittleEndian.Uint32(n[at+i:])
			if a == b {
				continue
			}
			s, _ := m.olds.at(op.old + i)
			if s != nil && s.kind == kindData {
				list = append(list, changedWord{s.image, a, b})
			}
		}
		at += int64(op.length)
	}
	if step := len(list)/most + 1; step > 1 {
		for i := range len(list) / step {
			list[i] = list[i*step]
		}
		list = list[:len(list)/step]
	}
	return list
}
