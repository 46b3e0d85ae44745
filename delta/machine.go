package delta

import (
	"context"
	"encoding/binary"
)

// machine makes the new content of operations, and corrects what was copied.
type machine struct {
	ctx        context.Context
	c          *coder
	h          *history
	old        *pages
	new        []byte // when encoding: the whole
	lits       *literals
	moves      *moves
	olds, news images
	bases      []base

	clean     []prob
	cleanH    uint32
	right     []prob // for bytes
	fields    []prob
	alts      []prob
	classes   []classGuess
	which     []prob
	mru       [16]uint32
	mruIdx    []prob
	mruFlag   []prob
	past      uint32          // classes of the last words, 4 bits each
	diffs     [4]uint32       // of the last words
	table     base            // where words last were relative to themselves
	registers [32]base        // pages that they hold
	tables    map[uint64]bool // when encoding: where tables begin, in the old content

	// of the piece
	kind       int
	from, to   *segment
	shift      uint64 // to.start... of addresses at this place
	oldA, newA uint64 // addresses of piece start
	words      bool
	pieceTo    int64 // new position of the piece
	item       item
	around     [block + 32]byte // of the old content, from the beginning of a block
}

// base is where words are counted from.
type base struct{ old, new uint64 }

type classGuess struct {
	class uint8
	sure  uint8
}

const (
	classSame = iota
	classPointer
	classRelative
	classAgain  // same difference as word before
	classAgain2 // as the one before that
	classTable  // relative to the beginning of a table
	classBase
	classBegins = 14 // a table begins, and the word is none of these
	classOther  = 15
	maxBases    = classBegins - classBase
)

const block = 32

func newMachine(ctx context.Context, c *coder, h *history, old *pages) *machine {
	return &machine{ctx: ctx, c: c, h: h, old: old, lits: newLiterals(),
		clean: probs(1 << 12), right: probs(1 << 12), fields: probs(1 << 13), alts: probs(1 << 12), which: probs(1 << 12),
		mruIdx: probs(1 << 10), mruFlag: probs(1 << 10), classes: make([]classGuess, 1<<14),
	}
}

// literalsRun codes n bytes that no copy covers; where the old content goes on is their model.
func (m *machine) literalRun(n uint32, beside int64) {
	m.lits.match, m.lits.run = 0, 0
	for i := int64(0); i < int64(n); i++ {
		old := uint32(256)
		if beside+i < m.old.size {
			old = uint32(m.old.view(beside+i, 1)[0])
		}
		m.literal(old, 0)
	}
}

func (m *machine) literal(old uint32, trust uint32) {
	m.h.room()
	var want byte
	if m.c.encoding {
		want = m.new[m.h.end()]
	}
	b := m.lits.code(m.c, want, m.h.p, int(m.h.base), old, trust)
	m.h.p = append(m.h.p, b)
	m.lits.seen(m.h.p, int(m.h.base))
}

// copy makes the copied bytes of an operation.
func (m *machine) copy(from int64, n int64) {
	for n > 0 && m.c.err == nil && m.old.err == nil && m.h.err == nil {
		k := m.begin(from, n)
		m.piece(from, k)
		from, n = from+k, n-k
	}
}

// begin sets what holds for a piece: within one segment of each side.
func (m *machine) begin(from, n int64) int64 {
	to := m.h.end()
	m.pieceTo = to
	var k1, k2 int64
	m.from, k1 = m.olds.at(from)
	m.to, k2 = m.news.at(to)
	m.kind = kindRaw
	if m.from != nil && m.to != nil {
		m.kind = kindData
		if m.from.kind == m.to.kind {
			m.kind = m.from.kind
		}
		m.oldA = m.from.start + uint64(from-m.from.offset)
		m.newA = m.to.start + uint64(to-m.to.offset)
		m.words = m.oldA&3 == m.newA&3
	}
	return min(n, k1, k2)
}

// piece corrects a range, block by block.
func (m *machine) piece(from, n int64) {
	for done := int64(0); done < n; {
		m.h.room()
		k := int(min(block, n-done))
		reach := int(min(block+32, n-done))
		// items may reach beyond the block, not beyond the piece
		copy(m.around[:reach], m.old.view(from+done, reach))
		made := m.block(m.around[:reach], k, uint64(done))
		done += int64(made)
		if m.c.err != nil || m.old.err != nil || m.h.err != nil {
			return
		}
	}
}

// block makes at least k bytes out of o, which stands done bytes behind the
// beginning of the piece.
func (m *machine) block(o []byte, k int, done uint64) int {
	start := len(m.h.p)
	past, diffs, table, registers := m.past, m.diffs, m.table, m.registers
	n := 0
	for n < k {
		n += m.predict(o, n, done)
		m.assume()
	}
	clean := 1
	if m.c.encoding {
		want := m.new[m.h.base+int64(start):]
		if string(want[:n]) != string(m.h.p[start:]) {
			clean = 0
		}
	}
	ctx := m.cleanH&0xff | uint32(m.kind)<<8
	dirty := m.c.flag(1-clean, &m.clean[ctx], 255)
	m.cleanH = m.cleanH<<1 | uint32(dirty)
	if dirty == 0 {
		return n
	}
	m.h.p = m.h.p[:start]
	m.past, m.diffs, m.table, m.registers = past, diffs, table, registers
	n = 0
	errs := 0
	since := 0
	for n < k {
		m.predict(o, n, done)
		last := n+m.item.size >= k && errs == 0
		if m.correct(o, n, errs, since, last) {
			since++
		} else {
			errs++
			since = 0
		}
		n += m.item.size
	}
	return n
}

// item is a byte or a field with what is predicted of it.
type item struct {
	size    int // bytes: 1, 4 or 8
	class   int // of data words
	seg     *segment
	target  uint64 // in the old image
	value   uint64 // predicted
	ctx     uint32
	oldV    uint64
	place   uint64 // what the target is relative to, new
	at      base   // where the word stands
	isField bool
	known   bool
	slot    uint32
}

// predict looks at what begins at o[i].
func (m *machine) predict(o []byte, i int, done uint64) int {
	it := &m.item
	it.isField = false
	it.size = 1
	it.class = -1
	switch m.kind {
	case kindX86:
		m.predictX86(o, i, done)
	case kindARM:
		m.predictARM(o, i, done)
	case kindData:
		if m.words && (m.oldA+done+uint64(i))&3 == 0 && len(o)-i >= 4 {
			m.predictWord(o, i, done)
		}
	}
	if !it.isField && it.size == 1 {
		it.oldV = uint64(o[i])
		it.value = it.oldV
	}
	return it.size
}

// assume appends what is predicted.
func (m *machine) assume() {
	it := &m.item
	switch it.size {
	case 1:
		m.h.p = append(m.h.p, byte(it.value))
	case 4:
		m.h.p = binary.LittleEndian.AppendUint32(m.h.p, uint32(it.value))
	case 8:
		m.h.p = binary.LittleEndian.AppendUint64(m.h.p, it.value)
	}
	if it.class >= 0 {
		m.note(it.class, it.size, it.value-it.oldV)
	} else if it.isField && m.kind == kindARM {
		m.load(it, uint32(it.value))
	}
}

func (m *machine) predictX86(o []byte, i int, done uint64) {
	h := m.h.p
	if len(h) < 3 || len(o)-i < 4 {
		return
	}
	ctx, is := fieldX86(h[len(h)-1], h[len(h)-2], h[len(h)-3])
	if !is {
		return
	}
	it := &m.item
	v := binary.LittleEndian.Uint32(o[i:])
	place := m.oldA + done + uint64(i) + 4
	target := place + uint64(int64(int32(v)))
	seg := m.moves.holds(m.from.image, target)
	if seg == nil {
		return
	}
	shift, known := m.moves.predict(seg, target)
	newPlace := m.newA + done + uint64(i) + 4
	*it = item{size: 4, class: -1, seg: seg, target: target, value: uint64(uint32(target + shift - newPlace)), ctx: ctx, oldV: uint64(v), place: newPlace, isField: true, known: known}
}

// hypothesis gives the new value of a word of a class; ok is false if the class
// does not fit.
func (m *machine) hypothesis(class int, v uint64, place, newPlace uint64) (value uint64, seg *segment, target uint64, origin uint64, ok bool) {
	switch class {
	case classSame:
		return v, nil, 0, 0, true
	case classAgain:
		return uint64(uint32(v) + m.diffs[0]), nil, 0, 0, true
	case classAgain2:
		return uint64(uint32(v) + m.diffs[1]), nil, 0, 0, true
	case classPointer:
		target, origin = v, 0
	case classRelative:
		target, origin = place+uint64(int64(int32(v))), newPlace
	case classTable:
		if m.table.old == 0 {
			return v, nil, 0, 0, false
		}
		target, origin = m.table.old+uint64(int64(int32(v))), m.table.new
	default:
		if class-classBase >= len(m.bases) {
			return v, nil, 0, 0, false
		}
		b := m.bases[class-classBase]
		target, origin = b.old+uint64(int64(int32(v))), b.new
	}
	seg = m.moves.holds(m.from.image, target)
	if seg == nil {
		return v, nil, 0, 0, false
	}
	shift, _ := m.moves.predict(seg, target)
	return target + shift - origin, seg, target, origin, true
}

func (m *machine) predictWord(o []byte, i int, done uint64) {
	it := &m.item
	v := binary.LittleEndian.Uint32(o[i:])
	place := m.oldA + done + uint64(i)
	newPlace := m.newA + done + uint64(i)
	size := uint32(0)
	switch {
	case v == 0:
	case v == ^uint32(0):
		size = 1
	case v < 1<<8:
		size = 2
	case v < 1<<16:
		size = 3
	case v < 1<<20:
		size = 4
	case v < 1<<24:
		size = 5
	case v < 1<<28:
		size = 6
	default:
		size = 7
	}
	wide := place&7 == 0 && newPlace&7 == 0 && len(o)-i >= 8
	x := (m.past&0xffff)<<4 | size<<1
	if wide {
		x |= 1
	}
	slot := x * 0x9E3779B1 >> (32 - 14)
	class := int(m.classes[slot].class)
	*it = item{size: 4, class: class, slot: slot, oldV: uint64(v), place: newPlace, at: base{place, newPlace}, isField: true}
	if class == classPointer {
		if wide {
			v8 := binary.LittleEndian.Uint64(o[i:])
			if value, seg, target, _, ok := m.hypothesis(class, v8, place, newPlace); ok {
				it.size, it.oldV, it.value, it.seg, it.target, it.place = 8, v8, value, seg, target, 0
				return
			}
		}
		class = classSame
	}
	value, seg, target, origin, ok := m.hypothesis(class, uint64(v), place, newPlace)
	if !ok {
		it.class = classSame
		value = uint64(v)
	}
	it.value, it.seg, it.target, it.place = uint64(uint32(value)), seg, target, origin
	if it.class == classPointer {
		it.class = classSame
	}
}

// fieldX86 tells whether an offset from the instruction's end is likely to follow
// three bytes, given from the last to the first, and of what kind.
func fieldX86(b1, b2, b3 byte) (ctx uint32, is bool) {
	switch {
	case b1 == 0xe8:
		return 1, true
	case b1 == 0xe9:
		return 2, true
	case b1&0xf0 == 0x80 && b2 == 0x0f:
		return 3, true
	case b1&0xc7 == 0x05:
		ctx = 256 + uint32(b2)
		if b3 == 0x0f {
			ctx += 256
		}
		return ctx, true
	}
	return 0, false
}
