package install

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/larch-project/larch/internal/keyfile"
)

const (
	remoteGroup   = "Larch Repository"
	maxRemoteFile = 512 << 10 // bytes: a root of 256 KiB in base64, and the rest
)

// RemoteFile is what a .larchrepo file says: where a repository is, and the root
// by which it is to be trusted. Its form is a key file; spec/9-install.md §9.2.
type RemoteFile struct {
	URL   string
	Title string // for people
	Root  []byte // a root document of the repository
}

// ParseRemoteFile reads a .larchrepo file. Input untrusted: there is one group and
// no key but url, title and root, so nothing can be switched off; every error
// matches ErrRemoteFile.
func ParseRemoteFile(text []byte) (*RemoteFile, error) {
	f, err := parseRemoteFile(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRemoteFile, err)
	}
	return f, nil
}

func parseRemoteFile(text []byte) (*RemoteFile, error) {
	if len(text) > maxRemoteFile {
		return nil, fmt.Errorf("%d bytes, limit %d", len(text), maxRemoteFile)
	}
	parsed, err := keyfile.Parse(text)
	if err != nil {
		return nil, err
	}
	group := parsed.Group(remoteGroup)
	if group == nil || len(parsed.Groups()) != 1 {
		return nil, fmt.Errorf("want one group, %q", remoteGroup)
	}
	values := map[string]string{}
	for _, key := range group.Keys() {
		if !slices.Contains([]string{"url", "title", "root"}, key) {
			return nil, fmt.Errorf("unknown key %.80q", key)
		}
		if values[key], err = group.String(key); err != nil {
			return nil, err
		}
	}
	root, err := base64.StdEncoding.Strict().DecodeString(values["root"])
	if err != nil || len(root) == 0 {
		return nil, fmt.Errorf("root: want a root document in base64")
	}
	f := &RemoteFile{URL: values["url"], Title: values["title"], Root: root}
	return f, f.check()
}

// check refuses addresses on this machine too: a file from elsewhere has no
// business with them.
func (f *RemoteFile) check() error {
	if !strings.HasPrefix(f.URL, "https://") && !strings.HasPrefix(f.URL, "http://") {
		return fmt.Errorf("url %.200q: want an http(s) address", f.URL)
	}
	for _, s := range []string{f.URL, f.Title} {
		if len(s) > 1024 || strings.ContainsFunc(s, unicode.IsControl) {
			return fmt.Errorf("%.80q: want at most 1024 bytes without control characters", s)
		}
	}
	return nil
}

// Encode writes the file.
func (f *RemoteFile) Encode() ([]byte, error) {
	if err := f.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRemoteFile, err)
	}
	file := new(keyfile.File)
	group, err := file.Add(remoteGroup)
	if err != nil {
		return nil, err
	}
	for _, pair := range [][2]string{{"url", f.URL}, {"title", f.Title}, {"root", base64.StdEncoding.EncodeToString(f.Root)}} {
		if pair[1] == "" {
			continue
		}
		if err := group.SetString(pair[0], pair[1]); err != nil {
			return nil, err
		}
	}
	return file.Bytes(), nil
}
