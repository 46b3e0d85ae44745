package install

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/larch-project/larch/transport"
	"github.com/larch-project/larch/transport/file"
	"github.com/larch-project/larch/transport/mirror"
	"github.com/larch-project/larch/transport/web"
)

// TransportOptions are choices for OpenTransport. The zero value is good for a
// public repository.
type TransportOptions struct {
	Mirrors   []string         // addresses from signed metadata, asked when the repository's own fails
	Stats     *transport.Stats // counts requests and bytes; may be nil
	Token     string           // bearer token, for the repository itself and never for a mirror
	Netrc     string           // path of a netrc file with logins; "" for none
	UserAgent string
	Getenv    func(string) string // for proxies; nil for the process's environment
	RootCAs   *x509.CertPool      // authorities that are believed; nil for the system's

	StallTime time.Duration // of a server that is too slow; 0 for the default
	Retries   int           // 0 for the default
}

// OpenTransport opens the repository at an address: an absolute path or file://
// for a folder, or http(s)://. It is the one place that lists transports. The
// caller closes what it gets, if that is an io.Closer.
func OpenTransport(address string, opt TransportOptions) (transport.Transport, error) {
	if opt.Stats == nil {
		opt.Stats = new(transport.Stats)
	}
	if dir, ok := folderOf(address); ok {
		t, err := file.New(dir)
		if err != nil {
			return nil, err
		}
		return transport.Counting(t, opt.Stats), nil
	}
	if len(opt.Mirrors) == 0 {
		return web.New(address, opt.web())
	}
	return openMirrored(address, opt)
}

// openMirrored retries little at each server: another mirror is the better retry.
func openMirrored(address string, opt TransportOptions) (transport.Transport, error) {
	if opt.Retries == 0 {
		opt.Retries = 1
	}
	primary, err := web.New(address, opt.web())
	if err != nil {
		return nil, err
	}
	opt.Token = ""
	var others []transport.Transport
	for _, m := range opt.Mirrors {
		t, err := web.New(m, opt.web())
		if err != nil {
			return nil, errors.Join(fmt.Errorf("mirror: %w", err), mirror.New(primary, others, mirror.Options{}).Close())
		}
		others = append(others, t)
	}
	head := func(name string) bool { return strings.HasPrefix(name, "trust/") }
	return mirror.New(primary, others, mirror.Options{Head: head}), nil
}

func (o TransportOptions) web() web.Options {
	return web.Options{
		UserAgent: o.UserAgent, Token: o.Token, Netrc: o.Netrc, StallTime: o.StallTime, Retries: o.Retries,
		Stats: o.Stats, RootCAs: o.RootCAs, Getenv: o.Getenv,
	}
}

// folderOf gives the folder that an address stands for.
func folderOf(address string) (string, bool) {
	if rest, ok := strings.CutPrefix(address, "file://"); ok {
		if u, err := url.Parse(address); err == nil && u.Host == "" {
			rest = u.Path
		}
		return rest, true
	}
	return address, !strings.Contains(address, "://")
}

// settleAddress gives the form of an address that is kept: a folder by its
// absolute path.
func settleAddress(address string) (string, error) {
	dir, folder := folderOf(address)
	switch {
	case strings.HasPrefix(address, "https://"), strings.HasPrefix(address, "http://"):
		return address, nil
	case !folder || dir == "":
		return "", fmt.Errorf("%w: address %.200q: want a folder, or http(s)://host/path", ErrArgument, address)
	}
	return filepath.Abs(dir)
}
