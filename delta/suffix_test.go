package delta

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

func TestSuffixes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		p := make([]byte, r.IntN(60))
		k := 1 + r.IntN(4)
		for i := range p {
			p[i] = byte(r.IntN(k))
		}
		sa := suffixes(p)
		for i := 1; i < len(sa); i++ {
			if bytes.Compare(p[sa[i-1]:], p[sa[i]:]) >= 0 {
				t.Fatalf("%v: %v", p, sa)
			}
		}
	}
}
