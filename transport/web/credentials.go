package web

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strings"

	"github.com/larch-project/larch/internal/bounded"
)

// authorization makes the Authorization header for base's origin; empty for none.
func authorization(base *url.URL, opt Options) (string, error) {
	safe := base.Scheme == "https" || loopback(base.Hostname())
	if opt.Token != "" {
		return bearer(base, opt.Token, safe)
	}
	if opt.Netrc == "" || !safe {
		return "", nil
	}
	text, err := readNetrc(opt.Netrc)
	if err != nil {
		return "", err
	}
	entry, err := findLogin(text, base.Hostname())
	if err != nil {
		return "", fmt.Errorf("netrc file %s: %w", opt.Netrc, err)
	}
	if entry == (login{}) {
		return "", nil
	}
	pair := base64.StdEncoding.EncodeToString([]byte(entry.user + ":" + entry.password))
	return "Basic " + pair, nil
}

// bearer checks a token by RFC 6750 §2.1; the errors do not repeat it.
func bearer(base *url.URL, token string, safe bool) (string, error) {
	if !safe {
		return "", fmt.Errorf("address %s: a token is not sent over plain http: use https", base)
	}
	odd := func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-._~+/=", r))
	}
	if strings.ContainsFunc(token, odd) {
		return "", errors.New("the token has characters that no token has: is there a space or a line end in it?")
	}
	return "Bearer " + token, nil
}

// readNetrc reads the file; a missing one is an empty one.
func readNetrc(path string) (string, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("reading netrc file: %w", err)
	}
	defer f.Close()
	text, err := bounded.ReadAll(f, maxNetrc)
	if err != nil {
		return "", fmt.Errorf("reading netrc file %s: %w", path, err)
	}
	return string(text), nil
}
