package digest

import (
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"testing"
)

// hashing two blocks at a time gives what hashing each gives, for one block, for even
// and for odd numbers of them
func TestHashBlocks(t *testing.T) {
	random := rand.NewChaCha8([32]byte{7})
	for blocks := range 40 {
		p := make([]byte, blocks*BlockSize)
		switch blocks % 3 {
		case 1:
			random.Read(p)
		case 2: // carries in each addition
			for i := range p {
				p[i] = 0xff
			}
		}
		checkHashes(t, p)
	}
	if !pairs {
		t.Log("here one by one: the CPU has no instructions for SHA-256")
	}
}

func checkHashes(t *testing.T, p []byte) {
	t.Helper()
	have := hashBlocks(nil, p)
	if len(have) != len(p)/BlockSize*Size {
		t.Fatalf("%d blocks: %d bytes", len(p)/BlockSize, len(have))
	}
	for i := range len(p) / BlockSize {
		if want := sha256.Sum256(p[i*BlockSize:][:BlockSize]); string(want[:]) != string(have[i*Size:][:Size]) {
			t.Errorf("block %d of %d: have %s, want %x", i, len(p)/BlockSize, hex.EncodeToString(have[i*Size:][:Size]), want)
		}
	}
}

func FuzzHashBlocks(f *testing.F) {
	f.Add([]byte("seed"), uint8(2))
	f.Fuzz(func(t *testing.T, seed []byte, blocks uint8) {
		p := make([]byte, int(blocks%8)*BlockSize)
		random := rand.NewChaCha8(sha256.Sum256(seed))
		random.Read(p)
		for i := range p { // the input itself, here and there
			if len(seed) > 0 && i%97 == 0 {
				p[i] = seed[i%len(seed)]
			}
		}
		checkHashes(t, p)
	})
}

func BenchmarkHashBlocks(b *testing.B) {
	benchmark(b, func(p []byte) { hashBlocks(make([]byte, 0, len(p)/BlockSize*Size), p[:len(p)/BlockSize*BlockSize]) })
}
