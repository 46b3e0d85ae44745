package trust

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/internal/durable"
)

const (
	keySuffix  = ".key"
	maxKeyFile = 16 << 10 // bytes
)

// KeyStore is a folder of private keys, one file each, outside of any repository.
// Files are named LABEL-KEYID.key; labels are for people. Either all keys are
// protected by a passphrase or none is. Its methods may be called concurrently.
type KeyStore struct {
	path   string
	ask    func(prompt string) ([]byte, error)
	random io.Reader
	fault  func(op, name string) error // for tests: see beneath.Dir.WithFault

	mu        sync.Mutex
	protected bool
	phrase    []byte // the passphrase that worked last
	unlocked  map[string]ed25519.PrivateKey
}

// OpenKeyStore opens a folder of keys. It may be missing: it is made with the
// first key. ErrKeyFile if others than the user may look into it. ask gives the
// passphrase when one is needed; nil if there is nobody to ask.
func OpenKeyStore(dir string, ask func(prompt string) ([]byte, error)) (*KeyStore, error) {
	k := newKeyStore(ask)
	k.path = dir
	names, err := k.names()
	if err != nil || len(names) == 0 {
		return k, err
	}
	data, err := k.read(names[0])
	k.protected = isProtected(data)
	return k, err
}

func newKeyStore(ask func(prompt string) ([]byte, error)) *KeyStore {
	return &KeyStore{ask: ask, random: rand.Reader, unlocked: map[string]ed25519.PrivateKey{}}
}

// NewKeyStore makes a folder below parent with one new root key in it, named by
// the first 16 digits of that key's fingerprint, which it returns; Init uses the
// key. With protect, this key and all later ones are protected by a passphrase.
func NewKeyStore(parent string, ask func(prompt string) ([]byte, error), protect bool) (*KeyStore, string, error) {
	k := newKeyStore(ask)
	private, err := k.newKey()
	if err != nil {
		return nil, "", err
	}
	id := publicKey(private).ID()
	k.path, k.protected = filepath.Join(parent, id[:16]), protect
	return k, id, k.save(metadata.ROOT, private)
}

// Path is the folder.
func (k *KeyStore) Path() string { return k.path }

// Generate makes a key pair, keeps the private key and returns the public one.
// label says in the file's name what the key is for: the role, or
// "publisher-NAME". On return the key survives power loss.
func (k *KeyStore) Generate(label string) (PublicKey, error) {
	if k.path == "" {
		return PublicKey{}, fmt.Errorf("making a key: %w: there is no key folder", ErrKey)
	}
	if label != metadata.TIMESTAMP && !isRole(label) {
		return PublicKey{}, fmt.Errorf("key for %.80q: want a role, or %sNAME", label, rolePrefix)
	}
	private, err := k.newKey()
	if err != nil {
		return PublicKey{}, err
	}
	return publicKey(private), k.save(label, private)
}

func (k *KeyStore) newKey() (ed25519.PrivateKey, error) {
	seed := make([]byte, ed25519.SeedSize)
	if _, err := io.ReadFull(k.random, seed); err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// Holds tells whether the private key of this id is in the folder. An error means that
// this could not be found out.
func (k *KeyStore) Holds(id string) (bool, error) {
	name, err := k.find(id)
	return name != "", err
}

// labelled gives the public keys whose files bear a label. They are unlocked for it.
func (k *KeyStore) labelled(label string) ([]PublicKey, error) {
	names, err := k.names()
	if err != nil {
		return nil, err
	}
	var keys []PublicKey
	for _, name := range names {
		if id, ok := strings.CutPrefix(strings.TrimSuffix(name, keySuffix), label+"-"); ok && isHex(id, 64) {
			private, err := k.private(id)
			if err != nil {
				return nil, err
			}
			keys = append(keys, publicKey(private))
		}
	}
	return keys, nil
}

// private gives a private key: ErrKey if its file is not there, ErrKeyFile if
// others could read it or it holds something else, ErrPassphrase.
func (k *KeyStore) private(id string) (ed25519.PrivateKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if private := k.unlocked[id]; private != nil {
		return private, nil
	}
	name, err := k.find(id)
	if err != nil {
		return nil, err
	}
	if name == "" {
		return nil, fmt.Errorf("key %s: %w: copy its file to %s", id, ErrKey, k.path)
	}
	data, err := k.read(name)
	if err != nil {
		return nil, err
	}
	private, err := k.decodeLocked(name, data)
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", filepath.Join(k.path, name), err)
	}
	if have := publicKey(private).ID(); have != id {
		return nil, fmt.Errorf("key file %s: %w: it holds the key %s", filepath.Join(k.path, name), ErrKeyFile, have)
	}
	k.unlocked[id] = private
	return private, nil
}

// find gives the name of a key's file, "" if there is none.
func (k *KeyStore) find(id string) (string, error) {
	names, err := k.names()
	if err != nil {
		return "", err
	}
	for _, name := range names {
		if strings.HasSuffix(name, "-"+id+keySuffix) {
			return name, nil
		}
	}
	return "", nil
}

func (k *KeyStore) names() ([]string, error) {
	dir, err := k.open()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	all, err := dir.ReadDir(".")
	var names []string
	for _, name := range all {
		if strings.HasSuffix(name, keySuffix) {
			names = append(names, name)
		}
	}
	return names, err
}

func (k *KeyStore) open() (*beneath.Dir, error) {
	dir, err := beneath.Open(k.path)
	if err != nil {
		return nil, fmt.Errorf("opening the key folder: %w", err)
	}
	info, err := dir.File().Stat()
	if err == nil {
		err = checkPrivate(k.path, info, 0o700)
	}
	if err != nil {
		dir.Close()
		return nil, err
	}
	if k.fault != nil {
		dir = dir.WithFault(k.fault)
	}
	return dir, nil
}

func (k *KeyStore) read(name string) ([]byte, error) {
	dir, err := k.open()
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	f, err := dir.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	path := filepath.Join(k.path, name)
	if !info.Mode().IsRegular() || info.Size() > maxKeyFile {
		return nil, fmt.Errorf("%s: %w: not a regular file of at most %d bytes", path, ErrKeyFile, maxKeyFile)
	}
	if err := checkPrivate(path, info, 0o600); err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(f, maxKeyFile))
}

// checkPrivate refuses what others than the user can read or change.
func checkPrivate(path string, info fs.FileInfo, want fs.FileMode) error {
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s: %w: others can read it (mode %04o): run chmod %04o on it, and rotate the keys if others use this machine",
			path, ErrKeyFile, info.Mode().Perm(), want)
	}
	owner, me := int(info.Sys().(*syscall.Stat_t).Uid), os.Geteuid()
	if owner != me && me != 0 {
		return fmt.Errorf("%s: %w: it belongs to user %d", path, ErrKeyFile, owner)
	}
	return nil
}

// save writes a key's file, and makes the folder if need be.
func (k *KeyStore) save(label string, private ed25519.PrivateKey) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	id := publicKey(private).ID()
	data, err := k.encodeLocked(label, private)
	if err != nil {
		return err
	}
	if err := makeFolder(k.path); err != nil {
		return fmt.Errorf("making the key folder: %w", err)
	}
	dir, err := k.open()
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := durable.Create(dir, label+"-"+id+keySuffix, data, 0o600); err != nil {
		return fmt.Errorf("writing key file: %w", err)
	}
	k.unlocked[id] = private
	return nil
}

// makeFolder makes a private folder, and its parents, durably.
func makeFolder(path string) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	parent := filepath.Dir(path)
	if err := makeFolder(parent); err != nil {
		return err
	}
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	dir, err := beneath.Open(parent)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// protect decides whether the keys of an empty folder will be protected; where
// there are keys, they have decided.
func (k *KeyStore) protect(yes bool) error {
	names, err := k.names()
	if err == nil && len(names) == 0 {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.protected = yes
	}
	return err
}
