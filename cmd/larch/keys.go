package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/term"

	"github.com/larch-project/larch/repo"
	"github.com/larch-project/larch/trust"
)

// keyFolder is where key folders are: --keys names one itself.
func (c *command) keyFolder() (string, error) {
	if dir := c.getenv("XDG_CONFIG_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "larch", "keys"), nil
	}
	home := c.getenv("HOME")
	if !filepath.IsAbs(home) {
		return "", errors.New("finding the keys: HOME is not set; say where they are with --keys")
	}
	return filepath.Join(home, ".config", "larch", "keys"), nil
}

// namedKeys is the key folder that was named, if one was.
func (c *command) namedKeys() string {
	if c.keys != "" {
		return c.keys
	}
	return c.getenv("LARCH_KEYS")
}

// newKeys opens or makes the key folder of a new repository.
func (c *command) newKeys(protect bool) (*trust.KeyStore, error) {
	if dir := c.namedKeys(); dir != "" {
		return trust.OpenKeyStore(dir, c.passphrase)
	}
	parent, err := c.keyFolder()
	if err != nil {
		return nil, err
	}
	keys, _, err := trust.NewKeyStore(parent, c.passphrase, protect)
	return keys, err
}

// keyStore opens the keys of a repository.
func (c *command) keyStore(r *repo.Repository) (*trust.KeyStore, error) {
	if dir := c.namedKeys(); dir != "" {
		return trust.OpenKeyStore(dir, c.passphrase)
	}
	parent, err := c.keyFolder()
	if err != nil {
		return nil, err
	}
	fingerprint, err := trust.Fingerprint(r.Dir())
	if err != nil {
		return nil, err
	}
	return trust.OpenKeyStore(filepath.Join(parent, fingerprint[:16]), c.passphrase)
}

// passphrase comes from the file that LARCH_PASSPHRASE_FILE names, or from the
// terminal.
func (c *command) passphrase(prompt string) ([]byte, error) {
	if file := c.getenv("LARCH_PASSPHRASE_FILE"); file != "" {
		data, err := os.ReadFile(file)
		return bytes.TrimRight(data, "\r\n"), err
	}
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return nil, errors.New("a passphrase is needed, and there is no terminal to ask at; name a file with it in LARCH_PASSPHRASE_FILE")
	}
	defer tty.Close()
	fmt.Fprintf(tty, "%s: ", prompt)
	defer fmt.Fprintln(tty)
	return term.ReadPassword(int(tty.Fd()))
}
