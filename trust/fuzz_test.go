package trust

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"

	"github.com/larch-project/larch/internal/beneath"
)

// FuzzKeyFile: what is no key is an error.
func FuzzKeyFile(f *testing.F) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der}))
	f.Add([]byte("-----BEGIN AGE ENCRYPTED FILE-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if key, err := decodePEM(data); err == nil && len(key) != ed25519.PrivateKeySize {
			t.Errorf("a key of %d bytes", len(key))
		}
	})
}

// FuzzFloor: a floor that is damaged is none.
func FuzzFloor(f *testing.F) {
	f.Add([]byte("{}"))
	f.Add([]byte(`{"timestamp":9,"sum":"x"}`))
	path := f.TempDir()
	dir, err := beneath.Open(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { dir.Close() })
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(filepath.Join(path, floorFile), data, 0o644); err != nil {
			t.Fatal(err)
		}
		if have := readFloor(dir); !have.equal(floor{}) && have.Sum != "" {
			t.Errorf("%q: %+v", data, have)
		}
	})
}
