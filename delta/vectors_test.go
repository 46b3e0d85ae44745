package delta

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"testing"
)

// vector is one of spec/vectors/delta/patches.json.
type vector struct {
	Name   string
	Base   string // hexadecimal
	Patch  string // hexadecimal
	Size   int64
	SHA256 string // of what it makes; "" if it is refused
}

func TestVectors(t *testing.T) {
	data, err := os.ReadFile("../spec/vectors/delta/patches.json")
	if err != nil {
		t.Fatal(err)
	}
	var list []vector
	if err := json.Unmarshal(data, &list); err != nil || len(list) < 6 {
		t.Fatalf("%d vectors, %v", len(list), err)
	}
	for _, v := range list {
		old, err := hex.DecodeString(v.Base)
		if err != nil {
			t.Fatal(err)
		}
		patch, err := hex.DecodeString(v.Patch)
		if err != nil {
			t.Fatal(err)
		}
		got, err := apply(old, patch, v.Size)
		sum := sha256.Sum256(got)
		if v.SHA256 == "" && !errors.Is(err, ErrFormat) || v.SHA256 != "" && (err != nil || hex.EncodeToString(sum[:]) != v.SHA256) {
			t.Errorf("%s: %d bytes, SHA-256 %x, %v", v.Name, len(got), sum, err)
		}
	}
}
