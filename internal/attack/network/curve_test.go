package network

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math/big"
	"slices"
	"testing"
)

// bend adds the order of the group to the second half of a signature: the curve's
// arithmetic would accept it as well as the original.
func bend(sig string) string {
	raw, err := hex.DecodeString(sig)
	if err != nil {
		panic(err)
	}
	order, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	s := slices.Clone(raw[32:])
	slices.Reverse(s) // little-endian
	sum := new(big.Int).Add(new(big.Int).SetBytes(s), order)
	out := sum.FillBytes(make([]byte, 32))
	slices.Reverse(out)
	return hex.EncodeToString(append(raw[:32], out...))
}

// smallOrder gives encodings of points of which a small multiple is nothing, so that
// some texts have a signature that needs no private key: the identity and zero.
func smallOrder(t *testing.T) [][]byte {
	t.Helper()
	var points [][]byte
	for _, text := range []string{
		"0100000000000000000000000000000000000000000000000000000000000000",
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0000000000000000000000000000000000000000000000000000000000000080",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	} {
		points = append(points, must(hex.DecodeString(text))(t))
	}
	return points
}

// The points are what they are said to be: of a few texts one is signed by nobody.
func TestSmallOrder(t *testing.T) {
	forged := append([]byte{1}, make([]byte, 63)...) // R is the identity, S is 0
	for _, point := range smallOrder(t) {
		found := false
		for i := 0; i < 200 && !found; i++ {
			found = ed25519.Verify(point, []byte{byte(i)}, forged)
		}
		if !found {
			t.Errorf("%x is not of small order", point)
		}
	}
}

func sha256of(data []byte) [32]byte { return sha256.Sum256(data) }

func matches(err error, kinds []error) bool {
	return slices.ContainsFunc(kinds, func(kind error) bool { return errors.Is(err, kind) })
}
