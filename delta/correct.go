package delta

import "encoding/binary"

// correct codes one item of a block that is not as predicted, and tells whether
// this item is. last means that it must be wrong.
func (m *machine) correct(o []byte, i, errs, since int, last bool) bool {
	it := &m.item
	if it.size == 1 {
		return m.correctByte(o, i, errs, since, last)
	}
	if it.class >= 0 {
		return m.correctWord(o, i, errs, since, last)
	}
	return m.correctField(o, i, errs, since, last)
}

func b2u(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}

func (m *machine) want(n int) uint64 {
	if !m.c.encoding {
		return 0
	}
	p := m.new[m.h.end():]
	switch n {
	case 1:
		return uint64(p[0])
	case 4:
		return uint64(binary.LittleEndian.Uint32(p))
	}
	return binary.LittleEndian.Uint64(p)
}

func (m *machine) correctByte(o []byte, i, errs, since int, last bool) bool {
	it := &m.item
	want := m.want(1)
	wrong := 1
	if !last {
		ctx := uint32(min(errs, 3))<<5 | uint32(min(since, 7))<<2 | uint32(m.kind)
		wrong = m.c.flag(int(b2u(want != it.value)), &m.right[ctx], 255)
	}
	if wrong == 0 {
		m.assume()
		return true
	}
	if len(o)-i >= 4 && m.recent(o, i) {
		return false
	}
	m.lits.match, m.lits.run = 0, 0
	m.literal(uint32(it.value), 1)
	it.size = 1
	return false
}

// recent codes a word that differs by one of the last differences.
func (m *machine) recent(o []byte, i int) bool {
	v := binary.LittleEndian.Uint32(o[i:])
	k := -1
	var d uint32
	if m.c.encoding && int(m.h.end())+4 <= len(m.new) {
		d = uint32(m.want(4)) - v
		for j, x := range m.mru {
			if x == d && d != 0 {
				k = j
				break
			}
		}
	}
	explicit := m.c.encoding && k < 0 && d != 0 && int(m.h.end())+4 <= len(m.new) && m.worthWord(o, i, d)
	w := uint32(0)
	if k >= 0 {
		w = 1
	} else if explicit {
		w = 2
	}
	if m.c.flag(int(b2u(w != 0)), &m.mruFlag[uint32(m.kind)], 100) == 0 {
		return false
	}
	if m.c.flag(int(b2u(w == 2)), &m.mruFlag[4+uint32(m.kind)], 100) == 0 {
		k = int(m.c.tree(uint32(k), 4, m.mruIdx, 60))
		d = m.mru[k]
	} else {
		k = 15
		d = uint32(m.c.direct(uint64(d), 32))
	}
	copy(m.mru[1:k+1], m.mru[:k])
	m.mru[0] = d
	m.h.p = binary.LittleEndian.AppendUint32(m.h.p, v+d)
	m.item.size = 4
	return true
}

func (m *machine) worthWord(o []byte, i int, d uint32) bool {
	p := m.new[m.h.end():]
	n := 0
	for j := range 4 {
		if p[j] != o[i+j] {
			n++
		}
	}
	return n == 4
}

// correctField codes a reference of code.
func (m *machine) correctField(o []byte, i, errs, since int, last bool) bool {
	it := &m.item
	want := m.want(4)
	wrong := 1
	if !last {
		ctx := it.ctx<<1 | b2u(it.known)
		ctx = ctx<<1 | b2u(errs > 0)
		wrong = m.c.flag(int(b2u(want != it.value)), &m.fields[ctx], 255)
	}
	if wrong == 0 {
		m.assume()
		return true
	}
	same := 0
	if it.value != it.oldV {
		same = m.c.flag(int(b2u(want == it.oldV)), &m.alts[it.ctx], 255)
	}
	if same != 0 {
		m.h.p = binary.LittleEndian.AppendUint32(m.h.p, uint32(it.oldV))
		if m.kind == kindARM {
			m.load(it, uint32(it.oldV))
		}
		return false
	}
	v := m.explicit(it.value, 4)
	if m.kind == kindARM {
		m.load(it, uint32(v))
		if to, ok := m.refersTo(it, uint32(v)); ok {
			m.moves.learn(it.seg, it.target, to)
		}
		return false
	}
	m.moves.learn(it.seg, it.target, it.place+uint64(int64(int32(v))))
	return false
}

// explicit codes the bytes of a field whose prediction is wrong.
func (m *machine) explicit(predicted uint64, n int) (v uint64) {
	m.lits.match, m.lits.run = 0, 0
	for j := range n {
		m.literal(uint32(byte(predicted>>(8*j))), 2)
		v |= uint64(m.h.p[len(m.h.p)-1]) << (8 * j)
	}
	return v
}

// correctWord codes a word of data.
func (m *machine) correctWord(o []byte, i, errs, since int, last bool) bool {
	it := &m.item
	want := m.want(it.size)
	guess := &m.classes[it.slot]
	wrong := 1
	if !last {
		ctx := uint32(it.class)<<4 | min(uint32(guess.sure), 3)<<2 | b2u(errs > 0)<<1 | b2u(since > 2)
		wrong = m.c.flag(int(b2u(want != it.value)), &m.right[1024+ctx], 255)
	}
	if wrong == 0 {
		m.assume()
		guess.sure = min(guess.sure+1, 15)
		return true
	}
	m.otherClass(o, i)
	return false
}

// otherClass codes a word by another class than was expected, or as it is.
func (m *machine) otherClass(o []byte, i int) {
	it := &m.item
	place, newPlace := it.at.old, it.at.new
	v := uint64(binary.LittleEndian.Uint32(o[i:]))
	wide := place&7 == 0 && newPlace&7 == 0 && len(o)-i >= 8
	class := classOther
	if m.c.encoding {
		class = m.explain(o, i, v, place, newPlace, wide)
	}
	ctx := uint32(it.class) << 4
	class = int(m.c.tree(uint32(class), 4, m.which[ctx:], 60))
	size := 4
	value := v
	if class == classPointer && wide {
		v = binary.LittleEndian.Uint64(o[i:])
		size = 8
	}
	if class < classBegins {
		value, _, _, _, _ = m.hypothesis(class, v, place, newPlace)
	}
	guess := &m.classes[it.slot]
	if class == classBegins {
		m.table = it.at
		x := m.explicit(it.value, 4)
		it.size = 4
		m.note(classTable, 4, x-v)
		return
	}
	if class == classOther {
		if it.size == 8 && it.seg != nil {
			x := m.explicit(it.value, 8)
			m.moves.learn(it.seg, it.target, x)
			m.note(classPointer, 8, x-it.oldV)
			return
		}
		x := m.explicit(it.value, 4)
		it.size = 4
		if it.seg != nil && it.class >= classBase {
			m.moves.learn(it.seg, it.target, it.place+x)
		}
		c := it.class
		m.note(c, 4, x-v)
		return
	}
	it.size = size
	if size == 8 {
		m.h.p = binary.LittleEndian.AppendUint64(m.h.p, value)
	} else {
		m.h.p = binary.LittleEndian.AppendUint32(m.h.p, uint32(value))
	}
	m.note(class, size, value-v)
	if guess.sure > 1 {
		guess.sure /= 2
	} else {
		*guess = classGuess{uint8(class), 1}
	}
}

func (m *machine) note(class, size int, d uint64) {
	if class == classRelative {
		m.table = m.item.at
	}
	m.past = m.past<<4 | uint32(class)
	if size == 8 {
		m.past = m.past<<4 | uint32(class)
	}
	m.diffs[3], m.diffs[2], m.diffs[1], m.diffs[0] = m.diffs[2], m.diffs[1], m.diffs[0], uint32(d)
}

// explain finds a class that gives the word that is wanted.
func (m *machine) explain(o []byte, i int, v uint64, place, newPlace uint64, wide bool) int {
	left := len(m.new) - int(m.h.end())
	for class := classBase + len(m.bases) - 1; class >= 0; class-- {
		if class == m.item.class {
			continue
		}
		if class == classPointer {
			if !wide || left < 8 {
				continue
			}
			v8 := binary.LittleEndian.Uint64(o[i:])
			if value, _, _, _, ok := m.hypothesis(class, v8, place, newPlace); ok && value == m.want(8) {
				return class
			}
			continue
		}
		if value, _, _, _, ok := m.hypothesis(class, v, place, newPlace); ok && uint32(value) == uint32(m.want(4)) {
			return class
		}
	}
	if m.tables[place] && m.item.size == 4 {
		return classBegins
	}
	return classOther
}
