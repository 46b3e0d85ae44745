package web

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"github.com/larch-project/larch/transport"
)

var errAddress = errors.New("not the address of a repository: it must look like https://host/folder")

// parseAddress checks an address. The errors repeat nothing of one that may hold
// a password.
func parseAddress(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, errAddress // err would repeat the address
	}
	if u.User != nil {
		return nil, fmt.Errorf("address at host %q: user and password do not belong in it: put them in a netrc file", u.Host)
	}
	bad := func(why string) error { return fmt.Errorf("%q: %s: %w", address, why, errAddress) }
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, bad("neither https nor http")
	case u.Hostname() == "":
		return nil, bad("no host")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, bad("query or fragment")
	}
	u.Host = strings.ToLower(u.Host)
	escaped := strings.TrimRight(u.EscapedPath(), "/")
	u.Path = strings.TrimRight(u.Path, "/")
	u.RawPath = escaped
	if u.Path != "" && transport.CheckName(u.Path[1:]) != nil {
		return nil, bad("odd path")
	}
	return u, nil
}

// locate gives the address of a checked name.
func (t *Transport) locate(name string) *url.URL {
	u := *t.base
	escaped := (&url.URL{Path: name}).EscapedPath()
	u.RawPath = t.base.EscapedPath() + "/" + escaped
	u.Path = t.base.Path + "/" + name
	return &u
}

// sameOrigin tells whether two addresses are of one scheme, host and port.
func sameOrigin(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && strings.EqualFold(a.Hostname(), b.Hostname()) && port(a) == port(b)
}

func port(u *url.URL) string {
	switch p := u.Port(); {
	case p != "":
		return p
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}

// loopback tells whether a host is this machine by its very name.
func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && addr.Unmap().IsLoopback()
}

// private tells whether a host is by its very name one that only this machine or
// its own network reaches. Names that resolve to such addresses are not found.
func private(host string) bool {
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return loopback(host)
	}
	addr = addr.Unmap()
	return addr.IsLoopback() || addr.IsPrivate() || addr.IsLinkLocalUnicast() || addr.IsUnspecified()
}
