package install

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/trust"
)

// verifyWorld is a machine with something of everything.
func verifyWorld(t *testing.T) (*publisher, *machine) {
	p := newPublisher(t, trust.InitOptions{})
	p.publish(hello, "1", laidOut("org.example.Hello", "hello", files{"applications/org.example.Hello.desktop": entry}).
		with("files/share/version", "1").with("files/share/large", noise(3, 2<<20)).with("files/share/text", noise(4, 500)))
	m := newMachine(t)
	m.trust("example", p)
	m.install("hello")
	return p, m
}

func (m *machine) findings() []string {
	m.t.Helper()
	v := must[*Verified](m.t)(m.Verify(m.t.Context(), VerifyOptions{}))
	var list []string
	for _, f := range v.Findings {
		list = append(list, f.Where+" "+f.Problem)
	}
	return list
}

// regular lists the regular files below an installation that have content.
func (m *machine) regular() (names []string) {
	err := filepath.WalkDir(m.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if name := strings.TrimPrefix(path, m.dir+"/"); err == nil && info.Size() > 0 && name != lockName {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		m.t.Fatal(err)
	}
	return names
}

// damage gives a file other bytes, whatever its mode, and keeps the mode.
func damage(t *testing.T, path string, change func([]byte) []byte) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{os.Chmod(path, 0o644), os.WriteFile(path, change(data), 0o644), os.Chmod(path, info.Mode().Perm())} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if strings.Contains(path, "/objects/") || strings.Contains(path, "/deployments/") {
		touch(t, path, info)
	}
}

func touch(t *testing.T, path string, info fs.FileInfo) {
	if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
}

func flip(at int) func([]byte) []byte {
	return func(data []byte) []byte {
		data[at%len(data)] ^= 1
		return data
	}
}

// damages are ways to harm a file.
func damages() []struct {
	name string
	do   func(*testing.T, string)
} {
	changed := func(change func([]byte) []byte) func(*testing.T, string) {
		return func(t *testing.T, path string) { damage(t, path, change) }
	}
	replaced := func(by func(path string) error) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			if err := errors.Join(os.Remove(path), by(path)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return []struct {
		name string
		do   func(*testing.T, string)
	}{
		{"first byte", changed(flip(0))},
		{"a byte", changed(flip(1234567))},
		{"shorter", changed(func(p []byte) []byte { return p[:len(p)-1] })},
		{"longer", changed(func(p []byte) []byte { return append(p, 0) })},
		{"missing", replaced(func(string) error { return nil })},
		{"a directory", replaced(func(path string) error { return os.Mkdir(path, 0o755) })},
		{"zeroes", changed(func(p []byte) []byte { return make([]byte, len(p)) })},
		{"two bytes", changed(func(p []byte) []byte { p[0] ^= 2; return flip(len(p) - 1)(p) })},
		{"a fifo", replaced(func(path string) error { return unix.Mkfifo(path, 0o644) })},
		{"another's content", func(t *testing.T, path string) {
			same, err := filepath.Glob(filepath.Join(filepath.Dir(path), "../*/*"))
			other := slices.IndexFunc(same, func(name string) bool {
				info, err := os.Lstat(name)
				return err == nil && info.Mode().IsRegular() && !bytes.Equal(must[[]byte](t)(os.ReadFile(name)), must[[]byte](t)(os.ReadFile(path)))
			})
			if err != nil || other < 0 {
				damage(t, path, func([]byte) []byte { return []byte("of another") })
				return
			}
			if err := unix.Renameat2(unix.AT_FDCWD, path, unix.AT_FDCWD, same[other], unix.RENAME_EXCHANGE); err != nil {
				t.Fatal(err)
			}
		}},
		{"a link", replaced(func(path string) error { return os.Symlink("/etc/passwd", path) })},
	}
}

// TestVerifyFindsAndRepairMends changes each file of an installation in several
// ways, a third of them without LARCH_TEST_LONG. Each change is found, named, and
// mended.
func TestVerifyFindsAndRepairMends(t *testing.T) {
	_, m := verifyWorld(t)
	if found := m.findings(); len(found) > 0 {
		t.Fatalf("at first: %q", found)
	}
	want := m.listing()
	for n, name := range m.regular() {
		// One is refused as a whole, see TestDamagedPointers; the others' loss is of no
		// consequence.
		if base := filepath.Base(name); base == formatName || base == ".lock" || base == "floor.json" {
			continue
		}
		path := filepath.Join(m.dir, name)
		for k, way := range damages() {
			if os.Getenv("LARCH_TEST_LONG") == "" && (n+k)%3 != 0 {
				continue
			}
			what := way.name
			way.do(t, path)
			found := m.findings()
			if len(found) == 0 {
				t.Errorf("%s, %s: not found", name, what)
			}
			v, err := m.Repair(t.Context(), VerifyOptions{})
			if err != nil || len(v.Findings) > 0 {
				t.Fatalf("%s, %s: repair: %+v, %v", name, what, v, err)
			}
			m.expect("Hello 1")
		}
	}
	if have := m.listing(); have != want {
		t.Errorf("after all repairs:\n%s\nwas:\n%s", have, want)
	}
}

// TestFoldersReplacedByLinks: what a link leads to is not the installation's, be it the
// same to the last byte. Verify names it or refuses to go on, and where that can be made
// again, it is mended.
func TestFoldersReplacedByLinks(t *testing.T) {
	_, m := verifyWorld(t)
	want := m.listing()
	outside := filepath.Join(t.TempDir(), "moved")
	for _, name := range m.folders() {
		if name == scratch { // it holds nothing, and whatever would use it refuses it
			continue
		}
		path := filepath.Join(m.dir, name)
		if err := errors.Join(os.Rename(path, outside), os.Symlink(outside, path)); err != nil {
			t.Fatal(err)
		}
		v, err := m.Verify(t.Context(), VerifyOptions{})
		if err == nil && len(v.Findings) == 0 {
			t.Errorf("%s: not found", name)
		}
		if strings.HasPrefix(name, "deployments/") {
			if v, err := m.Repair(t.Context(), VerifyOptions{}); err != nil || v.Repaired == 0 || len(v.Findings) > 0 {
				t.Errorf("%s: repair: %+v, %v", name, v, err)
			}
			err = os.RemoveAll(outside)
		} else {
			err = errors.Join(os.Remove(path), os.Rename(outside, path))
		}
		if err != nil {
			t.Fatal(err)
		}
		m.expect("Hello 1")
	}
	if have := m.listing(); have != want {
		t.Errorf("in the end:\n%s\nwas:\n%s", have, want)
	}
}

// folders lists the folders below an installation, what is in them first.
func (m *machine) folders() (names []string) {
	err := filepath.WalkDir(m.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && path != m.dir {
			names = append(names, strings.TrimPrefix(path, m.dir+"/"))
		}
		return err
	})
	if err != nil {
		m.t.Fatal(err)
	}
	slices.Reverse(names)
	return names
}

func TestRepairFetchesOnlyWhatIsDamaged(t *testing.T) {
	_, m := verifyWorld(t)
	requests := 0
	open := m.opt.Transport
	m.opt.Transport = counted(open, &requests)
	path := filepath.Join(m.dir, "deployments")
	large, err := filepath.Glob(path + "/*/tree/files/share/large")
	if err != nil || len(large) != 1 {
		t.Fatal(large, err)
	}
	damage(t, large[0], flip(1<<20))
	if v, err := m.Repair(t.Context(), VerifyOptions{}); err != nil || v.Repaired == 0 || len(v.Findings) > 0 {
		t.Errorf("%+v, %v", v, err)
	}
	if requests != 2 { // the index, and one range
		t.Errorf("%d requests", requests)
	}
}

// TestRepairRemovesNothingFirst has a remote that cannot help.
func TestRepairRemovesNothingFirst(t *testing.T) {
	p, m := verifyWorld(t)
	packs := must[[]string](t)(filepath.Glob(p.path + "/packs/*"))
	for _, pack := range packs {
		damage(t, pack, func(p []byte) []byte { return make([]byte, len(p)) })
	}
	objects := must[[]string](t)(filepath.Glob(m.dir + "/objects/*/*"))
	damage(t, objects[0], flip(9))
	before := m.listing()
	if _, err := m.Repair(t.Context(), VerifyOptions{}); err == nil {
		t.Error("repaired from nothing")
	}
	if after := m.listing(); strings.ReplaceAll(after, "/unclean\n", "") != before {
		t.Errorf("after:\n%s\nbefore:\n%s", after, before)
	}
	if len(m.findings()) == 0 {
		t.Error("nothing is wrong any more")
	}
}

func TestRepairOfWhatRuns(t *testing.T) {
	_, m := verifyWorld(t)
	o := must[*Opened](t)(m.OpenApp(t.Context(), "hello"))
	if err := os.Remove(filepath.Join(o.Tree.Path, "files/share/text")); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Repair(t.Context(), VerifyOptions{}); !errors.Is(err, deploy.ErrInUse) {
		t.Errorf("while it runs: %v", err)
	}
	o.Close()
	if v, err := m.Repair(t.Context(), VerifyOptions{}); err != nil || len(v.Findings) > 0 {
		t.Errorf("afterwards: %+v, %v", v, err)
	}
	m.expect("Hello 1")
}

func TestVerifyNamesWhatIsAffected(t *testing.T) {
	_, m := verifyWorld(t)
	texts := must[[]string](t)(filepath.Glob(m.dir + "/deployments/*/tree/files/share/text"))
	damage(t, texts[0], flip(3))
	v := must[*Verified](t)(m.Verify(context.Background(), VerifyOptions{}))
	if len(v.Findings) != 1 || !strings.HasPrefix(v.Findings[0].Where, "objects/") ||
		len(v.Findings[0].Affects) != 1 || v.Findings[0].Affects[0] != hello+": /files/share/text" || v.Findings[0].Fix == "" {
		t.Errorf("%+v", v.Findings)
	}
	if v.Objects == 0 {
		t.Error("no objects")
	}
}
