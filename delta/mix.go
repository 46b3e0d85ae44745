package delta

// logistic holds 65536/(1+e^-x) for x from -8 to 8 in steps of a half.
var logistic = [33]int32{
	22, 36, 60, 98, 162, 267, 439, 720, 1179, 1921, 3108, 4971, 7812, 11955, 17625, 24743, 32768,
	40793, 47911, 53581, 57724, 60565, 62428, 63615, 64357, 64816, 65097, 65269, 65374, 65438, 65476, 65500, 65514,
}

// squashes and stretches are the logistic function between those points, and its
// inverse. A stretched probability is ln(p/(1-p)) in units of 1/256, from -2047 to
// 2047; the other side is in units of 1/65536 and 1/4096.
var squashes, stretches = curves()

func curves() (squash [4096]uint16, stretch [4096]int16) {
	for i := range int32(4096) {
		part := i & 127
		squash[i] = uint16((logistic[i>>7]*(128-part) + logistic[i>>7+1]*part + 64) >> 7)
	}
	at := 0
	for v := -2047; v <= 2047; v++ {
		for end := int(squash[v+2048] >> 4); at <= end; at++ {
			stretch[at] = int16(v)
		}
	}
	for ; at < 4096; at++ {
		stretch[at] = 2047
	}
	return squash, stretch
}

func squash(v int) uint32 { return uint32(squashes[min(max(v, -2047), 2047)+2048]) }

func stretch(p16 uint32) int { return int(stretches[p16>>4]) }

// mixer weighs predictions; it has sets of weights, of which contexts choose.
type mixer struct {
	inputs  []int32
	weights []int32 // 16 bits after the point
	n       int
	at      int // the chosen set
	p       uint32
}

func newMixer(n, sets int) *mixer {
	m := &mixer{weights: make([]int32, n*sets), n: n}
	for i := range m.weights {
		m.weights[i] = 1 << 14
	}
	return m
}

func (m *mixer) mix(inputs []int32, set int) int {
	m.at = set * m.n
	w := m.weights[m.at : m.at+len(inputs)]
	sum := int64(0)
	for i, v := range inputs {
		sum += int64(v) * int64(w[i])
	}
	v := int(sum >> 16)
	v = min(max(v, -2047), 2047)
	m.p = squash(v)
	return v
}

func (m *mixer) learn(inputs []int32, bit int, rate int32) {
	miss := (int32(bit<<16) - int32(m.p)) * rate >> 4
	w := m.weights[m.at : m.at+len(inputs)]
	for i, v := range inputs {
		w[i] += int32((int64(v)*int64(miss) + 1<<13) >> 14)
	}
}
