package digest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"testing"
	"testing/iotest"
)

type vector struct {
	Content string
	Size    int64
	SHA256  string
	Digest  string
}

// content makes what the vectors name: "zero" bytes, or "mul", whose byte i is the
// top byte of the 32-bit product of i and a constant (spec/1-digest.md §5).
func content(kind string, size int64) []byte {
	p := make([]byte, size)
	if kind == "mul" {
		for i := range p {
			p[i] = byte(uint32(uint64(i)*2654435761) >> 24)
		}
	}
	return p
}

func vectors(t *testing.T) []vector {
	data, err := os.ReadFile("../spec/vectors/digest/digests.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []vector
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// every way to name content, as a user of the package meets it
var entryPoints = map[string]func(p []byte) (Digest, error){
	"Of":  func(p []byte) (Digest, error) { return Of(p), nil },
	"Sum": func(p []byte) (Digest, error) { d, _, err := Sum(bytes.NewReader(p)); return d, err },
	"Sum of short reads": func(p []byte) (Digest, error) {
		d, _, err := Sum(iotest.HalfReader(bytes.NewReader(p)))
		return d, err
	},
	"Hasher, odd writes": func(p []byte) (Digest, error) {
		var h Hasher
		for n := 1; len(p) > 0; n = n*3 + 1 {
			k := min(n, len(p))
			h.Write(p[:k])
			p = p[k:]
		}
		return h.Digest(), nil
	},
	"Builder, any order": func(p []byte) (Digest, error) {
		b := NewBuilder(int64(len(p)))
		for _, i := range rand.Perm((len(p) + Span - 1) / Span) {
			if err := b.Add(int64(i*Span), p[i*Span:min((i+1)*Span, len(p))]); err != nil {
				return Digest{}, err
			}
		}
		return b.Digest()
	},
	"Tree": func(p []byte) (Digest, error) {
		t, err := BuildTree(bytes.NewReader(p))
		if err != nil {
			return Digest{}, err
		}
		again, err := ParseTree(t.Leaves(), t.Digest(), t.Size())
		if err != nil {
			return Digest{}, err
		}
		return again.Digest(), nil
	},
	"Reader": func(p []byte) (Digest, error) {
		want := Of(p)
		_, err := io.Copy(io.Discard, NewReader(iotest.OneByteReader(bytes.NewReader(p[:min(len(p), 10000)])), Of(p[:min(len(p), 10000)]), int64(min(len(p), 10000))))
		return want, err
	},
}

func TestVectors(t *testing.T) {
	for _, v := range vectors(t) {
		p := content(v.Content, v.Size)
		if sum := sha256.Sum256(p); hex.EncodeToString(sum[:]) != v.SHA256 {
			t.Fatalf("the test makes other content than the vector of %s, %d bytes", v.Content, v.Size)
		}
		for name, digest := range entryPoints {
			have, err := digest(p)
			if err != nil || have.String() != v.Digest {
				t.Errorf("%s, %s of %d bytes: have %s, error %v; want %s", name, v.Content, v.Size, have, err, v.Digest)
			}
		}
	}
}

func TestParse(t *testing.T) {
	good := Of(nil).String()
	if d, err := Parse(good); err != nil || d != Of(nil) {
		t.Errorf("Parse(%q) = %v, %v", good, d, err)
	}
	for _, bad := range []string{"", good[1:], good + "0", "G" + good[1:], "A" + good[1:], "../" + good[3:], good[:63] + "\n"} {
		if _, err := Parse(bad); err == nil {
			t.Errorf("Parse(%q) accepted it", bad)
		}
	}
}

func TestReaderNeverEndsCleanOverWrongBytes(t *testing.T) {
	p := content("mul", 5000)
	d := Of(p)
	for i := 0; i < len(p); i += 97 {
		bad := bytes.Clone(p)
		bad[i] ^= 1
		expectMismatch(t, "flipped byte", bad, d, int64(len(p)))
		expectMismatch(t, "truncated", p[:i], d, int64(len(p)))
	}
	expectMismatch(t, "longer", append(bytes.Clone(p), 0), d, int64(len(p)))
	expectMismatch(t, "size declared wrong", p, d, int64(len(p))-1)
	boom := errors.New("boom")
	r := NewReader(io.MultiReader(bytes.NewReader(p), iotest.ErrReader(boom)), d, int64(len(p)))
	if _, err := io.ReadAll(r); !errors.Is(err, boom) {
		t.Errorf("a read error after the last byte became %v", err)
	}
}

func expectMismatch(t *testing.T, what string, p []byte, d Digest, size int64) {
	t.Helper()
	got, err := io.ReadAll(NewReader(bytes.NewReader(p), d, size))
	if !errors.Is(err, ErrMismatch) || int64(len(got)) > size {
		t.Errorf("%s: %d bytes, error %v", what, len(got), err)
	}
	if err := Verify(bytes.NewReader(p), d, size); !errors.Is(err, ErrMismatch) {
		t.Errorf("Verify, %s: error %v", what, err)
	}
}

func TestTreeVerifiesEachBlockByItself(t *testing.T) {
	p := content("mul", 300*BlockSize+5)
	tree, err := BuildTree(bytes.NewReader(p))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range [][2]int{{0, BlockSize}, {128 * BlockSize, 256 * BlockSize}, {299 * BlockSize, 300*BlockSize + 5}, {300 * BlockSize, 300*BlockSize + 5}} {
		piece := bytes.Clone(p[r[0]:r[1]])
		if err := tree.Verify(int64(r[0]), piece); err != nil {
			t.Errorf("bytes %v: %v", r, err)
		}
		piece[len(piece)-1] ^= 0x80
		if err := tree.Verify(int64(r[0]), piece); !errors.Is(err, ErrMismatch) {
			t.Errorf("bytes %v with one flipped: error %v", r, err)
		}
	}
	if err := tree.Verify(1, p[1:BlockSize]); err == nil {
		t.Error("a range that is not on blocks was accepted")
	}
	leaves := bytes.Clone(tree.Leaves())
	leaves[77] ^= 1
	if _, err := ParseTree(leaves, tree.Digest(), tree.Size()); !errors.Is(err, ErrMismatch) {
		t.Errorf("leaves with a flipped bit: error %v", err)
	}
}

func TestBuilderWantsEveryPiece(t *testing.T) {
	p := content("mul", 2*Span+1)
	b := NewBuilder(int64(len(p)))
	if err := b.Add(Span, p[Span:]); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Digest(); err == nil {
		t.Error("a digest with a piece missing")
	}
	for _, bad := range []struct{ offset, n int64 }{{1, 10}, {-Span, Span}, {0, Span - 1}, {2 * Span, 2}} {
		if err := b.Add(bad.offset, make([]byte, bad.n)); err == nil {
			t.Errorf("a piece of %d bytes at %d was accepted", bad.n, bad.offset)
		}
	}
}

func BenchmarkSum(b *testing.B)    { benchmark(b, func(p []byte) { Sum(bytes.NewReader(p)) }) }
func BenchmarkOf(b *testing.B)     { benchmark(b, func(p []byte) { Of(p) }) }
func BenchmarkSHA256(b *testing.B) { benchmark(b, func(p []byte) { sha256.Sum256(p) }) }

func benchmark(b *testing.B, hash func([]byte)) {
	p := content("mul", 16<<20)
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		hash(p)
	}
}
