package larch

import (
	"go/build"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/larch-project/larch/"

// stages is the policy: each folder may import the leaves below internal/, and of
// the other stages those that it names.
var stages = map[string]string{
	"digest":    "",
	"tree":      "digest",
	"release":   "digest tree",
	"trust":     "digest",
	"delta":     "",
	"repo":      "delta digest tree release trust",
	"transport": "",
	"store":     "digest tree",
	"fetch":     "digest tree release repo transport store",
	"deploy":    "digest tree",
	"install":   "digest tree release trust repo transport fetch store deploy check",
	"sandbox":   "release",
	"convert":   "digest tree",
	"check":     "digest tree release trust repo store deploy",
	"cmd":       "digest tree release trust repo transport fetch store deploy install sandbox convert check",
	"internal":  "digest", // the leaves; sealed names its bytes
	".":         "",
}

// inside says which of a stage's own folders may import which: parents never
// import children, siblings never siblings, and children their parent and its
// suite alone.
func inside(from, to string) bool {
	return strings.HasPrefix(from+"/", to+"/") || strings.HasSuffix(to, "test")
}

// libraries says which stage each library is confined to.
var libraries = map[string]string{
	"filippo.io/age":                  "trust",
	"github.com/hanwen/go-fuse/v2":    "deploy internal", // internal/powercut serves disks by it
	"github.com/klauspost/compress":   "delta repo fetch internal convert",
	"github.com/spf13/cobra":          "cmd",
	"github.com/spf13/pflag":          "cmd",
	"github.com/theupdateframework":   "trust",
	"github.com/sigstore/sigstore":    "trust",
	"github.com/secure-systems-lab":   "trust",
	"github.com/vbauerster/mpb":       "cmd",
	"golang.org/x/net/bpf":            "sandbox",
	"golang.org/x/net/http":           "transport",
	"golang.org/x/sync":               "fetch store deploy install check repo",
	"golang.org/x/sys":                "*",
	"golang.org/x/term":               "cmd",
	"github.com/google/go-cmp":        "test",
	"github.com/rogpeppe/go-internal": "test",
}

func TestImportsGoForwardOnly(t *testing.T) {
	for _, dir := range folders(t) {
		pkg, err := build.ImportDir(dir, 0)
		if err != nil {
			if _, none := err.(*build.NoGoError); none {
				continue
			}
			t.Fatal(err)
		}
		for _, imported := range pkg.Imports {
			if why := forbidden(filepath.ToSlash(dir), imported); why != "" {
				t.Errorf("%s imports %s: %s", dir, imported, why)
			}
		}
		for _, imported := range pkg.Imports {
			if library(imported) && libraries[libraryOf(imported)] == "test" {
				t.Errorf("%s imports %s outside of tests", dir, imported)
			}
		}
	}
}

func folders(t *testing.T) (dirs []string) {
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if p != "." && outside(d.Name()) {
			return fs.SkipDir
		}
		dirs = append(dirs, p)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return dirs
}

// outside tells whether a folder of this name holds no packages of the project.
func outside(name string) bool {
	return name == "testdata" || strings.HasPrefix(name, ".") || name == "bin"
}

func stage(dir string) string { return strings.Split(dir, "/")[0] }

func library(imported string) bool {
	return strings.Contains(strings.Split(imported, "/")[0], ".") && !strings.HasPrefix(imported, module)
}

func libraryOf(imported string) string {
	for name := range libraries {
		if imported == name || strings.HasPrefix(imported, name) {
			return name
		}
	}
	return ""
}

// isTool tells whether a folder is no part of the product.
func isTool(dir string) bool {
	return slices.ContainsFunc(tools, func(tool string) bool { return dir == tool || strings.HasPrefix(dir, tool+"/") })
}

// forbidden says what is wrong with an import, or nothing.
func forbidden(dir, imported string) string {
	if library(imported) {
		where := strings.Fields(libraries[libraryOf(imported)])
		if libraryOf(imported) == "" {
			return "no library of the project: name it in deps_test.go, with the one stage that it is for"
		}
		if !slices.Contains(where, "*") && !slices.Contains(where, "test") && !slices.Contains(where, stage(dir)) && !strings.HasSuffix(path.Base(dir), "test") {
			return "the library is confined to " + strings.Join(where, ", ")
		}
		return ""
	}
	own, ok := strings.CutPrefix(imported, module)
	if !ok {
		return ""
	}
	from, to := stage(dir), stage(own)
	switch {
	case from == to && from == "internal":
		return ""
	case from == to:
		if !inside(dir, own) && !inside(own, dir) || own != to && strings.HasPrefix(own+"/", dir+"/") {
			return "siblings never import siblings, nor parents children"
		}
		return ""
	case to == "internal":
		return ""
	case from == "internal" && isTool(dir):
		return ""
	case !slices.Contains(strings.Fields(stages[from]), to):
		return "data goes forward only: " + from + " may import " + stages[from]
	case (to == "deploy" || to == "transport" || to == "convert") && own != to && from != "install" && from != "cmd":
		return "implementations are listed in one place, by install or the command"
	}
	return ""
}
