package network

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/install"
	"github.com/larch-project/larch/trust"
)

// growth is how much more disk an attack may leave used than version 2 itself takes:
// bytes.
const growth = 8 << 20

// record is what a machine was like before an attack.
type record struct {
	versions string
	trusted  string
	disk     int64
}

func (w *world) look() record {
	w.t.Helper()
	return record{versions: w.versions(), trusted: w.trusted(), disk: disk(w.t, w.dir)}
}

// versions gives what is installed: "1", or "" for nothing.
func (w *world) versions() string {
	w.t.Helper()
	var all []string
	for _, in := range must(w.machine.Current())(w.t).Installed {
		all = append(all, in.Version)
	}
	return strings.Join(all, " ")
}

// trusted tells which documents the machine trusts when it next looks: versions of
// root, timestamp, snapshot, targets and publisher.
func (w *world) trusted() string {
	w.t.Helper()
	files := read(w.t, filepath.Join(w.dir, "remotes/example/trust"))
	f := &forger{t: w.t, server: &liar{files: state{}}}
	for name, data := range files {
		f.server.files["trust/"+name] = data
	}
	text := fmt.Sprintf("root %d", f.newest("root"))
	if files["timestamp.json"] == nil {
		return text
	}
	text += fmt.Sprintf(" timestamp %d", versionIn(w.t, files["timestamp.json"]))
	for _, role := range []string{"snapshot", "targets", "publisher-main"} {
		text += fmt.Sprintf(" %s %d", role, f.newest(role))
	}
	return text
}

// verdict says what must have come of an attack.
type verdict struct {
	err    error    // of which kind the error is; nil: there is none
	any    bool     // an error of whatever kind
	ends   int      // the version that is installed then; 0: 1 without an error, else 2
	trusts string   // which documents are trusted; "": those from before, unless the update succeeded
	heal   string   // a role whose keys the publisher must rotate before the update succeeds
	says   []string // what the message must hold, besides
	damage string   // what the attack itself damaged, which verify must find; "": nothing
}

// judge is asked after every attack, with the error of the update.
func (w *world) judge(err error, v verdict) {
	w.t.Helper()
	switch {
	case v.any && err == nil, v.err == nil && !v.any && err != nil, v.err != nil && !errors.Is(err, v.err):
		w.t.Errorf("error: %v; want %v", err, v.err)
	}
	if err != nil {
		readable(w.t, err.Error())
	}
	for _, word := range v.says {
		if !strings.Contains(fmt.Sprint(err), word) {
			w.t.Errorf("the message does not say %q: %v", word, err)
		}
	}
	if v.ends == 0 {
		if v.ends = 1; v.err == nil && !v.any {
			v.ends = 2
		}
	}
	w.intact(v.ends, v.damage)
	if have, want := w.trusted(), v.trusts; want != "" && have != want || want == "" && err != nil && have != w.before.trusted {
		w.t.Errorf("trusted: %s; before: %s; want %q", have, w.before.trusted, want)
	}
	if used := disk(w.t, w.dir); used > w.before.disk+growth {
		w.t.Errorf("the installation grew from %d to %d bytes", w.before.disk, used)
	}
	w.untouched()
	w.recovers(v.heal)
}

// intact fails unless a version is installed, whole, and verify finds what was
// damaged, and nothing else.
func (w *world) intact(version int, damage string) {
	w.t.Helper()
	if have := w.versions(); have != name(version) {
		w.t.Errorf("installed: %q, want %q", have, name(version))
		return
	}
	place := must(w.machine.Place(w.t.Context(), hello))(w.t)
	want := read(w.t, program(w.t, version))
	if have := read(w.t, filepath.Join(place, "files")); !have.equal(want) {
		w.t.Errorf("version %d is not what was published: %v, want %v", version, have.names(""), want.names(""))
	}
	w.verified(damage)
	check(w.t, filepath.WalkDir(w.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.Type()&^(fs.ModeDir|fs.ModeSymlink) != 0 {
			w.t.Errorf("%s is a %v", path, d.Type())
		}
		info, err := d.Info()
		if err == nil && (info.Mode()&(fs.ModeSetuid|fs.ModeSetgid) != 0 || d.Type() == 0 && info.Mode().Perm()&0o002 != 0) {
			w.t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	}))
}

func (w *world) verified(damage string) {
	w.t.Helper()
	found := false
	for _, f := range must(w.machine.Verify(w.t.Context(), install.VerifyOptions{ReadAll: true}))(w.t).Findings {
		if found = found || f.Where == damage; f.Where != damage {
			w.t.Errorf("verify: %+v", f)
		}
	}
	if damage != "" && !found {
		w.t.Errorf("verify does not find that %s is damaged", damage)
	}
}

// recovers puts an honest server in place: the plain update reaches the newest
// version, and what the attack left is gone when it is collected. Where a thief has
// signed higher versions, only new keys heal.
func (w *world) recovers(heal string) {
	w.t.Helper()
	w.server.repent()
	w.clock, w.mirrors = start.Add(time.Hour), nil
	w.opt = install.TransportOptions{Getenv: w.opt.Getenv, RootCAs: w.opt.RootCAs}
	if w.heals != nil {
		w.heals()
	}
	w.open()
	if w.honest == nil {
		w.honest = w.site.versions[newest]
	}
	w.serve(w.honest)
	if heal != "" {
		if err := w.update(); !errors.Is(err, trust.ErrRollback) {
			w.t.Errorf("before keys are rotated: %v; want that it is a rollback", err)
		}
		r, keys := w.site.copied(w.t)
		head := must(trust.Open(r.Dir(), keys))(w.t)
		for _, role := range strings.Fields(heal) {
			check(w.t, head.Rotate(w.t.Context(), start.Add(10*time.Minute), role))
		}
		w.serve(read(w.t, r.Dir().Path()))
	}
	if err := w.update(); err != nil {
		w.t.Errorf("from an honest server: %v", err)
		return
	}
	w.intact(newest, "")
	w.untouched()
	must(w.machine.GC(w.t.Context(), install.GCOptions{}))(w.t)
	if diff := cmp.Diff(clean(w.t, w.site), names(w.t, w.dir)); diff != "" {
		w.t.Errorf("after the recovery something is left behind or missing (-want +have):\n%s", diff)
	}
}

// serve has the repository hold these files, wherever the machine looks for it.
func (w *world) serve(files state) {
	w.t.Helper()
	w.server.serve(files)
	if w.serves != nil {
		w.serves(files)
	}
}

// names lists an installation but for the numbers that may differ: those of
// generations and of signed documents.
func names(t *testing.T, dir string) (list []string) {
	t.Helper()
	check(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		rel := strings.TrimPrefix(path, dir)
		parts := strings.Split(rel, "/")
		folder := d.IsDir() && len(parts) == 3 && parts[1] == "objects" // may be empty
		link := len(parts) == 4 && parts[3] == "link"                   // how fast a web server was
		if folder || link {
			return err
		}
		if len(parts) > 2 && parts[1] == "generations" {
			parts[2] = "N"
		}
		if len(parts) > 4 && parts[3] == "trust" {
			_, parts[4], _ = strings.Cut(parts[4], ".")
			if parts[4] == "root.json" {
				return err
			}
		}
		list = append(list, strings.Join(parts, "/"))
		return err
	}))
	slices.Sort(list)
	return list
}

// clean is what a machine looks like that was updated by an honest server alone.
func clean(t *testing.T, s *site) []string {
	t.Helper()
	cleanOnce.Do(func() {
		w := emptyWorld(t, s)
		w.trust()
		w.install()
		w.server.serve(s.versions[newest])
		check(t, w.update())
		must(w.machine.GC(t.Context(), install.GCOptions{}))(t)
		cleanNames = names(t, w.dir)
	})
	return cleanNames
}

// readable fails unless a message can be shown: valid UTF-8, no control characters,
// no line of more than 1 KiB.
func readable(t *testing.T, text string) {
	t.Helper()
	if !utf8.ValidString(text) {
		t.Errorf("the message is not UTF-8: %q", text)
	}
	for line := range strings.SplitSeq(text, "\n") {
		if len(line) > 1024 {
			t.Errorf("a line of %d bytes: %.300q", len(line), line)
		}
		if strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == 0x202e }) {
			t.Errorf("the message has control characters: %q", line)
		}
	}
}

// canaries lays out what must not change beside the installation, and gives its
// state.
func canaries(t *testing.T, dir string) []string {
	t.Helper()
	secret := filepath.Join(dir, "canary")
	check(t, os.MkdirAll(filepath.Join(secret, "folder"), 0o750))
	for name, mode := range map[string]fs.FileMode{"file": 0o640, "folder/secret": 0o600, "folder/program": 0o755} {
		check(t, os.WriteFile(filepath.Join(secret, name), []byte("the canary "+name), mode))
	}
	check(t, os.Symlink("folder/secret", filepath.Join(secret, "link")))
	check(t, os.WriteFile(filepath.Join(dir, "timestamp.json"), []byte("{}"), 0o600))
	return canaryState(t, dir)
}

// canaryState says of each file beside the installation what it is, to its change
// time.
func canaryState(t *testing.T, dir string) (lines []string) {
	t.Helper()
	check(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if path == filepath.Join(dir, "larch") {
			return fs.SkipDir
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil || path == dir {
			return err
		}
		text := ""
		if d.Type().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text = digest.Of(data).String()
		}
		lines = append(lines, fmt.Sprint(path, " ", st.Mode, st.Uid, st.Ino, st.Mtim, st.Ctim, text))
		return nil
	}))
	return lines
}

func (w *world) untouched() {
	w.t.Helper()
	if diff := cmp.Diff(w.canary, canaryState(w.t, w.beside)); diff != "" {
		w.t.Errorf("something beside the installation was touched (-before +after):\n%s", diff)
	}
}

// disk gives the bytes that the files below a folder take, each once.
func disk(t *testing.T, dir string) (sum int64) {
	t.Helper()
	seen := map[uint64]bool{}
	check(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		err = unix.Lstat(path, &st)
		if !seen[st.Ino] {
			seen[st.Ino] = true
			sum += st.Blocks * 512
		}
		return err
	}))
	return sum
}
