package delta

// prob is an adaptive probability that a bit is 1: 22 bits of it above 10 bits that
// count what was seen, so that it learns fast first, and slower later.
type prob uint32

const (
	evens     prob = 1 << 31
	countMask      = 1<<10 - 1
)

// rates holds 65536/(n+1.5), by which a probability moves after n bits.
var rates = func() (r [countMask + 1]uint32) {
	for n := range r {
		r[n] = uint32(65536 * 2 / (2*n + 3))
	}
	return r
}()

func (p prob) p16() uint32 { return min(max(uint32(p>>16), 1), 65535) }

func (p prob) count() int { return int(p & countMask) }

// learn moves p towards a bit; it forgets all but about limit bits.
func (p *prob) learn(bit int, limit uint32) {
	v := uint32(*p)
	n := v & countMask
	p22 := v >> 10
	target := uint32(bit) * (1<<22 - 1)
	move := int64(int32(target)-int32(p22)) * int64(rates[n]) >> 16
	p22 = uint32(int32(p22) + int32(move))
	if n < limit {
		n++
	}
	*p = prob(p22<<10 | n)
}

func probs(n int) []prob {
	t := make([]prob, n)
	for i := range t {
		t[i] = evens
	}
	return t
}

// flag codes one bit with p, and p learns from it.
func (c *coder) flag(want int, p *prob, limit uint32) int {
	bit := c.bit(want, p.p16())
	p.learn(bit, limit)
	return bit
}

// tree codes the low n bits of want, the highest first, each with the probability
// that belongs to those before it; t has 1<<n.
func (c *coder) tree(want uint32, n int, t []prob, limit uint32) uint32 {
	node := uint32(1)
	for i := n - 1; i >= 0; i-- {
		node = node<<1 | uint32(c.flag(int(want>>i&1), &t[node], limit))
	}
	return node - 1<<n
}

// number codes whole numbers below 1<<42: how many bits they have, then the bits,
// the first three of them adaptively.
type number struct {
	sizes []prob
	tops  []prob
}

func newNumber() *number { return &number{sizes: probs(128), tops: probs(128 * 8)} }

func (m *number) code(c *coder, want uint64) uint64 {
	const limit = 60
	size := int(c.tree(uint32(bitLen(want)), 7, m.sizes, limit))
	if size <= 1 {
		return uint64(size)
	}
	top := min(size-1, 3)
	rest := size - 1 - top
	v := uint64(1)<<top | uint64(c.tree(uint32(want>>rest)&(1<<top-1), top, m.tops[size*8:], limit))
	return v<<rest | c.direct(want, rest)
}

// signed codes numbers of either sign.
func (m *number) signed(c *coder, want int64) int64 {
	v := m.code(c, uint64(want)<<1^uint64(want>>63))
	return int64(v>>1) ^ -int64(v&1)
}

func bitLen(v uint64) int {
	n := 0
	for ; v > 0; v >>= 1 {
		n++
	}
	return n
}
