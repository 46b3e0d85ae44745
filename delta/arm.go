package delta

import "encoding/binary"

// The instructions of arm64 that refer to addresses.
const (
	armCall = 10 + iota
	armJump
	armPage // adrp
	armAdd  // to a register that holds a page
	armLoad
)

// fieldARM tells what an instruction refers to, if anything.
func fieldARM(w uint32) (ctx uint32, is bool) {
	switch {
	case w&0xfc000000 == 0x94000000:
		return armCall, true
	case w&0xfc000000 == 0x14000000:
		return armJump, true
	case w&0x9f000000 == 0x90000000:
		return armPage, true
	case w&0xffc00000 == 0x91000000:
		return armAdd, true
	case w&0x3b000000 == 0x39000000:
		return armLoad, true
	}
	return 0, false
}

// armScale gives the unit of a load's offset, as a power of two.
func armScale(w uint32) uint {
	scale := uint(w >> 30)
	if w>>26&1 != 0 && w>>23&1 != 0 { // 128 bits
		scale = 4
	}
	return scale
}

func armPageOf(place uint64, w uint32) uint64 {
	imm := uint64(int64(int32(w<<8)) >> 13 << 2)
	imm |= uint64(w >> 29 & 3)
	return place&^0xfff + imm<<12
}

func armWithPage(w uint32, place, target uint64) uint32 {
	imm := uint32((target>>12 - place>>12))
	return w&0x9f00001f | imm&3<<29 | imm>>2&0x7ffff<<5
}

func armLow(w, ctx uint32) uint64 {
	v := uint64(w >> 10 & 0xfff)
	if ctx == armLoad {
		v <<= armScale(w)
	}
	return v
}

// predictARM looks for a reference in a whole instruction.
func (m *machine) predictARM(o []byte, i int, done uint64) {
	if !m.words || (m.oldA+done+uint64(i))&3 != 0 || len(o)-i < 4 {
		return
	}
	w := binary.LittleEndian.Uint32(o[i:])
	ctx, is := fieldARM(w)
	if !is {
		return
	}
	place, newPlace := m.oldA+done+uint64(i), m.newA+done+uint64(i)
	target := uint64(0)
	switch ctx {
	case armCall, armJump:
		target = place + uint64(int64(int32(w<<6))>>4)
	case armPage:
		target = armPageOf(place, w) + m.lowAfter(o[i+4:], w&31)
	default:
		page := m.registers[w>>5&31].old
		if page == 0 {
			return
		}
		target = page + armLow(w, ctx)
	}
	seg := m.moves.holds(m.from.image, target)
	if seg == nil {
		return
	}
	shift, known := m.moves.predict(seg, target)
	value := armRefer(w, ctx, newPlace, target+shift)
	m.item = item{size: 4, class: -1, seg: seg, target: target, value: uint64(value), ctx: ctx, oldV: uint64(w), place: newPlace, at: base{place, newPlace}, isField: true, known: known}
}

// armRefer makes an instruction refer to another target.
func armRefer(w, ctx uint32, place, target uint64) uint32 {
	switch ctx {
	case armCall, armJump:
		return w&0xfc000000 | uint32((target-place)>>2)&0x03ffffff
	case armPage:
		return armWithPage(w, place, target)
	}
	low := target & 0xfff
	if ctx == armLoad {
		scale := armScale(w)
		if low&(1<<scale-1) != 0 {
			return w
		}
		low >>= scale
	}
	return w&^(0xfff<<10) | uint32(low)<<10
}

// lowAfter finds what the next instructions add to a register.
func (m *machine) lowAfter(o []byte, register uint32) uint64 {
	for i := 0; i+4 <= len(o) && i < 32; i += 4 {
		w := binary.LittleEndian.Uint32(o[i:])
		if ctx, is := fieldARM(w); is && ctx >= armAdd && w>>5&31 == register {
			return armLow(w, ctx)
		}
	}
	return 0
}

// load notes which page a register holds after a new instruction.
func (m *machine) load(it *item, w uint32) {
	if it.ctx == armPage {
		m.registers[w&31] = base{armPageOf(it.at.old, uint32(it.oldV)), armPageOf(it.at.new, w)}
	}
}

// refersTo gives the target of a new instruction, if it is of the kind that the old
// one was.
func (m *machine) refersTo(it *item, w uint32) (target uint64, ok bool) {
	ctx, _ := fieldARM(w)
	if ctx != it.ctx {
		return 0, false
	}
	switch ctx {
	case armCall, armJump:
		return it.place + uint64(int64(int32(w<<6))>>4), true
	case armPage:
		return 0, false
	}
	return m.registers[w>>5&31].new + armLow(w, ctx), true
}
