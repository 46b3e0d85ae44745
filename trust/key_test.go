package trust

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
	"filippo.io/age/armor"
)

func TestIDIsTheKeyIDOfTUF(t *testing.T) {
	key := publicKey(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
	want, err := key.tuf().ID()
	if err != nil || key.ID() != want {
		t.Errorf("have %s, want %s: %v", key.ID(), want, err)
	}
	var again PublicKey
	if err := again.UnmarshalText([]byte(key.String())); err != nil || again != key {
		t.Errorf("have %v: %v", again, err)
	}
	for _, bad := range []string{"", "00", strings.ToUpper(key.String()), key.String() + "0", strings.Repeat("g", 64)} {
		if err := again.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

// Keys for which ed25519.Verify takes a signature that nobody made are no keys.
func TestWeakKeys(t *testing.T) {
	forged := append([]byte{1}, make([]byte, 63)...) // R is the neutral point, S is 0
	for _, text := range smallOrder {
		for _, sign := range []byte{0, 0x80} {
			point, err := hex.DecodeString(text)
			if err != nil {
				t.Fatal(err)
			}
			point[31] |= sign
			forgeable := false
			for i := byte(0); i < 200 && !forgeable; i++ {
				forgeable = ed25519.Verify(point, []byte{i}, forged)
			}
			var key PublicKey
			if err := key.UnmarshalText([]byte(hex.EncodeToString(point))); forgeable && err == nil {
				t.Errorf("%x: accepted, and anybody can sign for it", point)
			}
			if !forgeable && sign == 0 {
				t.Errorf("%x: is in the list for nothing", point)
			}
		}
	}
}

func TestNewKeyStore(t *testing.T) {
	parent := filepath.Join(t.TempDir(), "larch", "keys")
	keys, fingerprint, err := NewKeyStore(parent, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	if keys.Path() != filepath.Join(parent, fingerprint[:16]) {
		t.Errorf("folder %s for %s", keys.Path(), fingerprint)
	}
	dir := openDir(t, t.TempDir())
	used, err := Init(t.Context(), dir, keys, InitOptions{Now: start, RootKeys: 2})
	if err != nil {
		t.Fatal(err)
	}
	if held, err := keys.Holds(fingerprint); !held || err != nil {
		t.Errorf("the key %s is held: %v, %v", fingerprint, held, err)
	}
	if found, err := Fingerprint(dir); err != nil || found != used {
		t.Errorf("the repository starts from %s, Init says %s: %v", found, used, err)
	}
	for path, want := range map[string]os.FileMode{parent: 0o700, keys.Path(): 0o700} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
	files, _ := os.ReadDir(keys.Path())
	if len(files) != 6 { // two for root, targets, snapshot, timestamp, publisher-main
		t.Errorf("files: %v", files)
	}
	for _, file := range files {
		info, err := file.Info()
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", file.Name(), info.Mode(), err)
		}
	}
}

func TestFingerprintIsTheOneOfTheFolder(t *testing.T) {
	keys, fingerprint, err := NewKeyStore(t.TempDir(), nil, false)
	if err != nil {
		t.Fatal(err)
	}
	dir := openDir(t, t.TempDir())
	if used, err := Init(t.Context(), dir, keys, InitOptions{Now: start}); err != nil || used != fingerprint {
		t.Errorf("have %s, want %s: %v", used, fingerprint, err)
	}
}

func TestUnsafeKeyFiles(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(folder, file string) error
		want  error
	}{
		"others read the file":   {func(_, file string) error { return os.Chmod(file, 0o644) }, ErrKeyFile},
		"the group reads it":     {func(_, file string) error { return os.Chmod(file, 0o640) }, ErrKeyFile},
		"others read the folder": {func(folder, _ string) error { return os.Chmod(folder, 0o755) }, ErrKeyFile},
		"it is gone":             {func(_, file string) error { return os.Remove(file) }, ErrKey},
		"it is empty":            {func(_, file string) error { return os.Truncate(file, 0) }, ErrKeyFile},
		"it is cut":              {func(_, file string) error { return os.Truncate(file, 60) }, ErrKeyFile},
		"it is large":            {func(_, file string) error { return os.Truncate(file, maxKeyFile+1) }, ErrKeyFile},
		"it is a folder":         {func(_, file string) error { return errors.Join(os.Remove(file), os.Mkdir(file, 0o700)) }, ErrKeyFile},
		"it is a link": {func(folder, file string) error {
			return errors.Join(os.Rename(file, filepath.Join(folder, "x")), os.Symlink("x", file))
		}, errAny},
		"it is another key": {func(folder, file string) error {
			other, err := filepath.Glob(filepath.Join(folder, "snapshot-*"))
			return errors.Join(err, os.Rename(other[0], file))
		}, ErrKeyFile},
		"something follows it": {func(_, file string) error {
			data, err := os.ReadFile(file)
			return errors.Join(err, os.WriteFile(file, append(data, data...), 0o600))
		}, ErrKeyFile},
		"another kind of key": {func(_, file string) error {
			return os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY"}), 0o600)
		}, ErrKeyFile},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, InitOptions{})
			files, _ := filepath.Glob(filepath.Join(w.keys.path, "timestamp-*"))
			if err := c.spoil(w.keys.path, files[0]); err != nil {
				t.Fatal(err)
			}
			clear(w.keys.unlocked)
			err := w.open().Commit(t.Context(), w.now, func(e *Edit) error { return e.Set(release(editor, "1")) })
			if err == nil || c.want != errAny && !errors.Is(err, c.want) {
				// a folder that cannot be read holds no key
				if !(c.want == ErrKeyFile && errors.Is(err, ErrKey)) {
					t.Errorf("have %v, want %v", err, c.want)
				}
			}
			w.noFindings()
		})
	}
}

func TestPassphrase(t *testing.T) {
	asked := 0
	right := func(string) ([]byte, error) { asked++; return []byte("correct horse"), nil }
	keys, _, err := NewKeyStore(t.TempDir(), right, true)
	if err != nil {
		t.Fatal(err)
	}
	dir := openDir(t, t.TempDir())
	if _, err := Init(t.Context(), dir, keys, InitOptions{Now: start}); err != nil {
		t.Fatal(err)
	}
	if asked != 1 {
		t.Errorf("asked %d times to make the keys", asked)
	}
	files, _ := filepath.Glob(filepath.Join(keys.path, "*"))
	for _, file := range files {
		if data, err := os.ReadFile(file); err != nil || !strings.HasPrefix(string(data), armor.Header) {
			t.Errorf("%s is not protected: %v", file, err)
		}
	}
	for name, c := range map[string]struct {
		ask  func(string) ([]byte, error)
		want error
	}{
		"right":  {right, nil},
		"wrong":  {func(string) ([]byte, error) { return []byte("battery staple"), nil }, ErrPassphrase},
		"empty":  {func(string) ([]byte, error) { return nil, nil }, ErrPassphrase},
		"nobody": {nil, ErrPassphrase},
		"error":  {func(string) ([]byte, error) { return nil, os.ErrDeadlineExceeded }, os.ErrDeadlineExceeded},
	} {
		asked = 0
		keys, err := OpenKeyStore(keys.path, c.ask)
		if err != nil {
			t.Fatal(err)
		}
		r, err := Open(dir, keys)
		if err != nil {
			t.Fatal(err)
		}
		err = r.Commit(t.Context(), start, func(e *Edit) error { return e.Set(release(editor, name)) })
		if !errors.Is(err, c.want) || c.want == nil && (err != nil || asked != 1) {
			t.Errorf("%s: have %v after %d questions, want %v", name, err, asked, c.want)
		}
	}
}

// A key file that age itself protected, with its own work factor, is read.
func TestPassphraseByAge(t *testing.T) {
	if stride() > 1 {
		t.Skip("takes seconds, and half a gigabyte: LARCH_TEST_LONG=1 runs it")
	}
	keys := testKeys(t, filepath.Join(t.TempDir(), "keys"))
	private, err := keys.newKey()
	if err != nil {
		t.Fatal(err)
	}
	text, err := keys.encodeLocked("root", private)
	if err != nil {
		t.Fatal(err)
	}
	recipient, err := age.NewScryptRecipient("x")
	if err != nil {
		t.Fatal(err)
	}
	data, err := seal(text, recipient)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := unseal(data, []byte("x")); err != nil || !bytes.Equal(again, text) {
		t.Errorf("have %q: %v", again, err)
	}
	recipient.SetWorkFactor(maxWorkFactor + 1)
	if data, err = seal(text, recipient); err != nil {
		t.Fatal(err)
	}
	if _, err := unseal(data, []byte("x")); !errors.Is(err, ErrPassphrase) {
		t.Errorf("a file that takes too much to open: %v", err)
	}
}
