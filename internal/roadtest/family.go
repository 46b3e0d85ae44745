package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/larch-project/larch/internal/measure"
)

// family is a tree in several versions, oldest first.
type family struct {
	name     string
	versions []version
}

// version is one of them: a folder.
type version struct{ name, dir string }

func (f family) last() int { return len(f.versions) - 1 }

// source says where a family comes from.
type source struct {
	name     string
	versions []string                        // to be fetched
	fetch    func(dir, version string) error // makes a folder of a version
	folder   string                          // or: where the versions are
}

// known are the families that are measured by themselves.
var known = []source{
	{name: "esbuild", fetch: npm("@esbuild/linux-x64"), versions: []string{"0.27.3", "0.27.4", "0.27.5", "0.27.6", "0.27.7", "0.28.0", "0.28.1", "0.28.2"}},
	{name: "typescript", fetch: npm("typescript"), versions: []string{"5.6.2", "5.6.3", "5.7.2", "5.7.3", "5.8.2", "5.8.3", "5.9.2", "5.9.3"}},
	{name: "gotc", fetch: measure.GoToolchain, versions: []string{"1.26.5", "1.26.6", "1.26.7", "1.26.8", "1.27.0", "1.27.1"}},
}

func npm(name string) func(dir, version string) error {
	return func(dir, version string) error { return measure.NpmPackage(dir, name, version) }
}

// npmSource reads NAME=package@version,version,...
func npmSource(s string) (source, error) {
	name, rest, ok := strings.Cut(s, "=")
	at := strings.LastIndexByte(rest, '@')
	if !ok || !familyName.MatchString(name) || at <= 0 || at == len(rest)-1 {
		return source{}, fmt.Errorf("%q is not NAME=package@version,version,...", s)
	}
	return source{name: name, fetch: npm(rest[:at]), versions: strings.Split(rest[at+1:], ",")}, nil
}

// folderSource reads NAME=DIR.
func folderSource(s string) (source, error) {
	name, dir, _ := strings.Cut(s, "=")
	if !familyName.MatchString(name) || dir == "" {
		return source{}, fmt.Errorf("%q is not NAME=DIR", s)
	}
	dir, err := filepath.Abs(dir)
	return source{name: name, folder: dir}, err
}

var (
	familyName = regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]*$`)
	counted    = regexp.MustCompile(`^[0-9]{2}-`)
)

// prepare gives the family, fetching what the data folder lacks.
func (s source) prepare(data string) (family, error) {
	f := family{name: s.name}
	for i, v := range s.versions {
		dir := filepath.Join(data, s.name, fmt.Sprintf("%02d-%s", i+1, v))
		if err := s.fetch(dir, v); err != nil {
			return f, err
		}
		f.versions = append(f.versions, version{v, dir})
	}
	if s.folder != "" {
		entries, err := os.ReadDir(s.folder)
		if err != nil {
			return f, err
		}
		for _, e := range entries {
			if e.IsDir() {
				f.versions = append(f.versions, version{counted.ReplaceAllString(e.Name(), ""), filepath.Join(s.folder, e.Name())})
			}
		}
	}
	if len(f.versions) < 2 {
		return f, fmt.Errorf("%d versions: at least two are needed", len(f.versions))
	}
	return f, nil
}
