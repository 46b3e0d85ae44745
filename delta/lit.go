package delta

// The contexts of a literal byte: how many of the bytes before it each hashed
// context takes.
const (
	orders    = 7
	slotBits  = 18 // of each hashed table
	inputsMax = orders + 4
)

// literals predicts bytes that no copy covers, bit by bit, from the bytes before
// them, from where those stood last, and from the byte that the old content has.
type literals struct {
	light   bool   // fewer contexts, for many bytes
	single  []prob // order 1
	hashed  [orders][]prob
	guess   []prob // by what the old content has
	matched []prob // by length of the match and its bit
	mixers  [3]*mixer
	at      [orders]uint32
	inputs  [inputsMax]int32

	index []uint32 // where a hash of bytes stood last, plus 1
	match int      // position of the predicted byte, 0 is none
	run   int      // bytes that it was right for
	miss  int
}

const indexBits = 18

func newLiterals() *literals {
	l := &literals{single: probs(1 << 16), guess: probs(1 << 19), matched: probs(64 * 2 * 4), index: make([]uint32, 1<<indexBits)}
	for i := range l.hashed {
		l.hashed[i] = probs(1 << slotBits)
	}
	l.mixers = [3]*mixer{newMixer(inputsMax, 256), newMixer(inputsMax, 64*3), newMixer(inputsMax, 256)}
	return l
}

func (l *literals) contexts(h []byte, old uint32) [orders]uint32 {
	c := func(i int) uint32 {
		if len(h) < i {
			return 0
		}
		return uint32(h[len(h)-i])
	}
	o2 := c(1) | c(2)<<8
	o3 := o2 | c(3)<<16
	o4 := o3 | c(4)<<24
	const k = 0x9E3779B1
	return [orders]uint32{
		(o2 + 1) * k,
		(o3 + 0x2000000) * k,
		(o4 ^ 0x5bd1e995) * k,
		(o4*0x85EBCA6B ^ (c(5) | c(6)<<8)) * k,
		(c(2) | c(3)<<8 | old<<16 | 7<<28) * k,
		(c(1) | old<<8 | 9<<28) * k,
		(c(4)<<16 | c(3)<<8 | 11<<28) * k,
	}
}

// code codes one byte behind history h, whose first byte has the position base. old
// is the byte that the old content has there, or 256.
func (l *literals) code(c *coder, want byte, h []byte, base int, old uint32, trust uint32) byte {
	ctx := l.contexts(h, old)
	c1 := uint32(0)
	if len(h) > 0 {
		c1 = uint32(h[len(h)-1])
	}
	expected := l.find(h, base)
	if l.light {
		return l.codeLight(c, want, h, c1, expected, old)
	}
	node := uint32(1)
	for n := range 8 {
		if n == 0 || n == 4 {
			for i := range ctx {
				x := ctx[i] ^ node*0x2545F491
				x *= 0x9E3779B1
				l.at[i] = x >> (32 - slotBits + 4) << 4
			}
		}
		low := node & 15
		if n < 4 {
			low = node
		} else {
			low = node&(1<<(n-4)-1) | 1<<(n-4)
		}
		node = node<<1 | uint32(l.bit(c, int(want>>(7-n)&1), c1, node, low, expected, old, trust, n))
	}
	return l.follow(byte(node), expected)
}

// follow notes whether the match went on.
func (l *literals) follow(b byte, expected int) byte {
	if expected >= 0 && byte(expected) == b {
		l.run = min(l.run+1, 63)
	} else {
		l.run = 0
		if l.miss++; l.miss > 8 {
			l.match, l.miss = 0, 0
		}
	}
	return b
}

// heavy is how many literal bytes of a window are worth all contexts: a microsecond
// or two each.
const heavy = 256 << 10

// codeLight is code with three predictions of each bit.
func (l *literals) codeLight(c *coder, want byte, h []byte, c1 uint32, expected int, old uint32) byte {
	c2 := uint32(0)
	if len(h) >= 2 {
		c2 = uint32(h[len(h)-2])
	}
	order2 := ((c1 | c2<<8) + 1) * 0x9E3779B1
	node := uint32(1)
	for n := range 8 {
		if n == 0 || n == 4 {
			l.at[0] = (order2 ^ node*0x2545F491) * 0x9E3779B1 >> (32 - slotBits + 4) << 4
		}
		low := node
		if n >= 4 {
			low = node&(1<<(n-4)-1) | 1<<(n-4)
		}
		ps := [3]*prob{&l.hashed[0][l.at[0]|low], &l.guess[old<<8|node]}
		k, set := 2, 0
		if expected >= 0 && uint32(expected|256)>>(8-n) == node {
			bit := uint32(expected >> (7 - n) & 1)
			ps[2] = &l.matched[(uint32(min(l.miss, 3))<<6|uint32(l.run))<<1|bit]
			k, set = 3, 1+l.run
		}
		in := l.inputs[:k]
		for i := range in {
			in[i] = int32(stretch(ps[i].p16()))
		}
		p := squash(l.mixers[1].mix(in, set))
		bit := c.bit(int(want>>(7-n)&1), min(max(p, 32), 65536-32))
		l.mixers[1].learn(in, bit, 6)
		for i := range in {
			ps[i].learn(bit, 127)
		}
		node = node<<1 | uint32(bit)
	}
	return l.follow(byte(node), expected)
}

func (l *literals) bit(c *coder, want int, c1, node, low uint32, expected int, old, trust uint32, n int) int {
	in := &l.inputs
	var ps [inputsMax]*prob
	for i := range orders {
		ps[i] = &l.hashed[i][l.at[i]|low]
	}
	ps[orders] = &l.single[c1<<8|node]
	ps[orders+1] = &l.guess[(trust<<9|old)<<8|node]
	k := orders + 2
	for i := range k {
		p := *ps[i]
		s := int32(stretch(p.p16()))
		cnt := p.count()
		if cnt == 0 {
			s = 0
		} else if cnt < 3 {
			s = s * 3 / 4
		}
		in[i] = s
	}
	in[k] = 0
	set := uint32(0)
	if expected >= 0 && uint32(expected|256)>>(8-n) == node {
		bit := uint32(expected >> (7 - n) & 1)
		ps[k] = &l.matched[(uint32(min(l.miss, 3))<<6|uint32(l.run))<<1|bit]
		in[k] = int32(stretch(ps[k].p16()))
		set = 1 + uint32(l.run)
	}
	in[k+1] = 256
	osync := uint32(0)
	if old < 256 {
		osync = 1
		if (old|256)>>(8-n) == node {
			osync = 2
		}
	}
	ins := in[:k+2]
	v0 := l.mixers[0].mix(ins, int(node))
	v1 := l.mixers[1].mix(ins, int(min(set, 63)*3+osync))
	v2 := l.mixers[2].mix(ins, int(c1))
	p := squash((v0 + v1 + v2) / 3)
	bit := c.bit(want, min(max(p, 32), 65536-32))
	l.mixers[0].learn(ins, bit, 6)
	l.mixers[1].learn(ins, bit, 6)
	l.mixers[2].learn(ins, bit, 6)
	for i := range k {
		ps[i].learn(bit, 127)
	}
	if ps[k] != nil {
		ps[k].learn(bit, 250)
	}
	return bit
}

// find gives the byte that followed when the last bytes of h were seen last, or -1.
func (l *literals) find(h []byte, base int) int {
	if l.match > 0 {
		l.match++
	}
	if l.run < 16 {
		l.search(h, base)
	}
	return l.expect(h, base)
}

// expect gives the byte at the match.
func (l *literals) expect(h []byte, base int) int {
	at := l.match - 1
	switch {
	case l.match == 0:
		return -1
	case at >= base && at-base < len(h):
		return int(h[at-base])
	}
	l.match, l.run, l.miss = 0, 0, 0
	return -1
}

// search looks for a longer match than there is.
func (l *literals) search(h []byte, base int) {
	if len(h) < 6 {
		return
	}
	x := hash6(h)
	const most = 32
	if at := int(l.index[x>>(32-indexBits)]) - 1; at > base && at-base < len(h) {
		n := 0
		for n < most && at-base-1-n >= 0 && h[at-base-1-n] == h[len(h)-1-n] {
			n++
		}
		if n >= 6 && n > l.run {
			l.match, l.run, l.miss = at+1, n, 0
		}
	}
}

func hash6(h []byte) uint32 {
	n := len(h)
	v := uint32(h[n-1]) | uint32(h[n-2])<<8 | uint32(h[n-3])<<16 | uint32(h[n-4])<<24
	v = v*0x9E3779B1 ^ (uint32(h[n-5])|uint32(h[n-6])<<8)*0x85EBCA6B
	return v * 0x2545F491
}

// seen notes where the bytes at the end of h stand.
func (l *literals) seen(h []byte, base int) {
	if len(h) >= 6 {
		l.index[hash6(h)>>(32-indexBits)] = uint32(base + len(h) + 1)
	}
}
