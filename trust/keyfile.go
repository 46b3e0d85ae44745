package trust

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"
)

const (
	pemType = "PRIVATE KEY" // PKCS#8

	// workFactor is the base-2 logarithm of scrypt's cost: 64 MiB of memory for
	// a moment. age's own default, 18, takes 256 MiB; files made so are read.
	workFactor    = 16
	maxWorkFactor = 18
)

func isProtected(data []byte) bool { return bytes.HasPrefix(data, []byte(armor.Header)) }

func (k *KeyStore) encodeLocked(label string, private ed25519.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der})
	if !k.protected {
		return text, nil
	}
	if k.phrase == nil {
		if k.phrase, err = k.askLocked("passphrase for the new keys"); err != nil {
			return nil, err
		}
	}
	recipient, err := age.NewScryptRecipient(string(k.phrase))
	if err != nil {
		return nil, fmt.Errorf("protecting the %s key: %w", label, err)
	}
	recipient.SetWorkFactor(workFactor)
	return seal(text, recipient)
}

func seal(text []byte, recipient age.Recipient) ([]byte, error) {
	var to bytes.Buffer
	armored := armor.NewWriter(&to)
	w, err := age.Encrypt(armored, recipient)
	if err != nil {
		return nil, err
	}
	_, err = w.Write(text)
	err = errors.Join(err, w.Close(), armored.Close())
	return to.Bytes(), err
}

func (k *KeyStore) decodeLocked(name string, data []byte) (ed25519.PrivateKey, error) {
	if !isProtected(data) {
		return decodePEM(data)
	}
	if k.phrase != nil {
		if text, err := unseal(data, k.phrase); err == nil {
			return decodePEM(text)
		}
	}
	phrase, err := k.askLocked("passphrase for the key " + strings.TrimSuffix(name, keySuffix))
	if err != nil {
		return nil, err
	}
	text, err := unseal(data, phrase)
	if err != nil {
		return nil, err
	}
	k.phrase = phrase
	return decodePEM(text)
}

func (k *KeyStore) askLocked(prompt string) ([]byte, error) {
	if k.ask == nil {
		return nil, fmt.Errorf("%w: the keys in %s are protected and there is nobody to ask", ErrPassphrase, k.path)
	}
	phrase, err := k.ask(prompt)
	if err == nil && len(phrase) == 0 {
		err = fmt.Errorf("%w: it is empty", ErrPassphrase)
	}
	return phrase, err
}

func unseal(data, phrase []byte) ([]byte, error) {
	identity, err := age.NewScryptIdentity(string(phrase))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPassphrase, err)
	}
	identity.SetMaxWorkFactor(maxWorkFactor)
	r, err := age.Decrypt(armor.NewReader(bytes.NewReader(data)), identity)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPassphrase, err)
	}
	text, err := io.ReadAll(io.LimitReader(r, maxKeyFile))
	if err != nil {
		return nil, fmt.Errorf("%w: damaged: %w", ErrKeyFile, err)
	}
	return text, nil
}

func decodePEM(data []byte) (ed25519.PrivateKey, error) {
	block, rest := pem.Decode(data)
	if block == nil || block.Type != pemType || len(bytes.TrimSpace(rest)) != 0 {
		return nil, fmt.Errorf("%w: not one PEM block %q", ErrKeyFile, pemType)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeyFile, err)
	}
	private, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%w: not an Ed25519 key", ErrKeyFile)
	}
	return private, nil
}
