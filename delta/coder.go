package delta

import (
	"bytes"
	"fmt"
	"math"
)

// coder is a binary range coder in one direction. Everything that is modelled
// is written once for both: each method takes what is wanted, which counts only when
// encoding, and gives what is coded.
type coder struct {
	encoding bool
	span     uint32 // of the interval

	// when encoding
	low     uint64 // of the interval; bit 32 is a carry
	held    byte
	pending int // bytes that a carry would change, held and the 0xff behind it
	out     bytes.Buffer

	// when decoding
	value uint32 // less low
	in    *input
	err   error
}

const probBits = 16

func newEncoder() *coder { return &coder{encoding: true, span: math.MaxUint32} }

func newDecoder(in *input) *coder {
	c := &coder{span: math.MaxUint32, in: in}
	for range 4 {
		c.value = c.value<<8 | uint32(c.next())
	}
	return c
}

func (c *coder) next() byte {
	b, err := c.in.ReadByte()
	if err != nil && c.err == nil {
		c.err = fmt.Errorf("%w: it ends early", ErrFormat)
	}
	return b
}

// bit codes one bit that is 1 with a probability of p/65536.
func (c *coder) bit(want int, p uint32) int {
	bound := uint32(uint64(c.span) * uint64(p) >> probBits)
	if c.encoding {
		c.put(want, bound)
		return want
	}
	bit := 0
	if c.value < bound {
		c.span = bound
		bit = 1
	} else {
		c.value -= bound
		c.span -= bound
	}
	for c.span < 1<<24 {
		c.span <<= 8
		c.value = c.value<<8 | uint32(c.next())
	}
	return bit
}

func (c *coder) put(bit int, bound uint32) {
	if bit != 0 {
		c.span = bound
	} else {
		c.low += uint64(bound)
		c.span -= bound
	}
	for c.span < 1<<24 {
		c.span <<= 8
		c.shift()
	}
}

// shift moves the top byte of low out, as far as no carry can reach it any more.
func (c *coder) shift() {
	if c.pending == 0 || c.low < 0xff000000 || c.low > math.MaxUint32 {
		carry := byte(c.low >> 32)
		for i := range c.pending {
			b := byte(0xff)
			if i == 0 {
				b = c.held
			}
			c.out.WriteByte(b + carry)
		}
		c.held = byte(c.low >> 24)
		c.pending = 0
	}
	c.pending++
	c.low = c.low & 0x00ffffff << 8
}

// finish gives all that was coded.
func (c *coder) finish() []byte {
	for range 5 {
		c.shift()
	}
	return c.out.Bytes()
}

// direct codes the low n bits of v as they are.
func (c *coder) direct(want uint64, n int) (v uint64) {
	for i := n - 1; i >= 0; i-- {
		v = v<<1 | uint64(c.bit(int(want>>i&1), 1<<(probBits-1)))
	}
	return v
}
