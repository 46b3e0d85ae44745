package trust

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// PublicKey is an Ed25519 public key.
type PublicKey [ed25519.PublicKeySize]byte

// String gives 64 lower-case hex digits: what another publisher hands over so
// that a delegation can be made. It is not the fingerprint; see ID.
func (p PublicKey) String() string { return hex.EncodeToString(p[:]) }

// MarshalText implements encoding.TextMarshaler.
func (p PublicKey) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads the form that String writes, and nothing else.
func (p *PublicKey) UnmarshalText(text []byte) error {
	if !isHex(string(text), 2*len(p)) {
		return fmt.Errorf("public key %.80q: want %d lower-case hex digits", text, 2*len(p))
	}
	if _, err := hex.Decode(p[:], text); err != nil {
		return err
	}
	if p.weak() {
		return fmt.Errorf("public key %s: anybody could sign for it", text)
	}
	return nil
}

// smallOrder are the y coordinates, in all their spellings, of the curve's points of
// order 1, 2, 4 and 8: for these there are signatures that need no private key, and
// ed25519.Verify accepts them (RFC 8032 leaves it open).
var smallOrder = []string{
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0100000000000000000000000000000000000000000000000000000000000000",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // 0 again
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // 1 again
}

// weak tells whether the key is a point of small order, of either sign.
func (p PublicKey) weak() bool {
	p[len(p)-1] &^= 0x80
	return slices.Contains(smallOrder, p.String())
}

// ID is TUF's key id, 64 lower-case hex digits: the SHA-256 of the key's canonical
// JSON. For a root key it is the fingerprint that people compare.
func (p PublicKey) ID() string {
	// canonical JSON of metadata.Key; the tests compare with go-tuf
	text := `{"keytype":"ed25519","keyval":{"public":"` + p.String() + `"},"scheme":"ed25519"}`
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// tuf gives the form that goes into metadata.
func (p PublicKey) tuf() *metadata.Key {
	return &metadata.Key{
		Type:   metadata.KeyTypeEd25519,
		Scheme: metadata.KeySchemeEd25519,
		Value:  metadata.KeyVal{PublicKey: p.String()},
	}
}

func publicKey(private ed25519.PrivateKey) PublicKey {
	return PublicKey(private.Public().(ed25519.PublicKey))
}

// signedBy tells whether a document bears a key's valid signature.
func signedBy[T metadata.Roles](doc *metadata.Metadata[T], id string, key *metadata.Key) bool {
	alone := metadata.Root(time.Time{}) // go-tuf verifies by a delegator
	alone.Signed.Keys[id] = key
	alone.Signed.Roles[metadata.ROOT].KeyIDs = []string{id}
	return alone.VerifyDelegate(metadata.ROOT, doc) == nil
}
