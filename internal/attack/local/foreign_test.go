package local

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// foreign is a repository in a folder of a stranger's, with one application in one
// pack, that this user trusts.
func (w *world) foreign() string {
	w.t.Helper()
	repo := filepath.Join(w.owned("theirs", stranger, 0o755), "r")
	var made struct{ Fingerprint string }
	w.must(json.Unmarshal(must(w.kit.publisher("init", repo, "--keys", w.kit.keys, "--json"))(w.t), &made))
	w.must(w.kit.publish(w.t.TempDir(), repo, "org.example.Probe", "", "1", nil))
	w.must(filepath.WalkDir(repo, func(path string, _ fs.DirEntry, err error) error { return errors.Join(err, chown(path, stranger)) }))
	w.ok("remote", "add", "example", repo, "--root-key", made.Fingerprint)
	return repo
}

func TestForeignFolders(t *testing.T) {
	asRoot(t)
	attack(t, "J-04 publishing from a folder that changes", "CVE-2018-15664, CVE-2024-23652: root read elsewhere, through a folder that was exchanged for a link", func(t *testing.T) {
		w := newWorld(t, 0)
		secret := w.canary(0)
		source := w.owned("source", stranger, 0o755)
		w.must(content{"metadata": "[Application]\nname=org.example.Swap\nruntime=host\ncommand=probe\n", "files/share/f": "fine"}.folder(source))
		link := filepath.Join(source, "files/link")
		w.must(os.Symlink(secret, link))
		repo := filepath.Join(w.dir, "repo")
		var made struct{ Fingerprint string }
		w.must(json.Unmarshal(must(w.kit.publisher("init", repo, "--keys", w.kit.keys, "--json"))(t), &made))
		stop := swapping(filepath.Join(source, "files/share"), link)
		var published []string
		for n := range 25 {
			version := fmt.Sprint(n + 1)
			_, err := w.kit.publisher("publish", repo, "app/org.example.Swap/"+arch+"/stable", source, "--version", version, "--keys", w.kit.keys, "--delta-budget", "0")
			if err == nil {
				published = append(published, version)
			}
		}
		stop()
		w.ok("remote", "add", "example", repo, "--root-key", made.Fingerprint)
		for _, version := range published {
			w.ok("install", "org.example.Swap@"+version, "--yes")
		}
		err := filepath.WalkDir(w.root, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() && bytes.Contains(must(os.ReadFile(path))(t), []byte("S3CR3T")) {
				t.Errorf("the secret was published: %s", path)
			}
			return err
		})
		w.must(err)
	})
	attack(t, "J-04 an installation that is exchanged", "RUSTSEC-2026-0067, CVE-2024-9676: root wrote elsewhere, through a folder that was exchanged for a link", func(t *testing.T) {
		w := newWorld(t, 0)
		name := w.kit.app(t, "Probe", "", "1", nil)
		canary := w.canary(0)
		above := w.owned("above", stranger, 0o755)
		w.root = filepath.Join(above, "machine")
		w.env = append(w.env, "LARCH_ROOT="+w.root)
		w.must(os.Mkdir(w.root, 0o755), os.Symlink(canary, filepath.Join(above, "link")))
		defer swapping(w.root, filepath.Join(above, "link"))()
		for range 25 {
			for _, args := range [][]string{{"remote", "add", "example", w.kit.repo, "--root-key", w.kit.fingerprint}, {"install", name, "--yes"}, {"gc"}, {"verify", "--repair"}} {
				if r := w.larch(args...); r.code == 0 && args[0] != "verify" {
					t.Fatalf("%q succeeded in a folder that a stranger can exchange", args)
				}
			}
		}
	})
	attack(t, "J-04 a repository that changes", "the same, for what is read", func(t *testing.T) {
		w := newWorld(t, 0)
		canary := w.canary(0)
		repo := w.foreign()
		w.must(os.Symlink(canary, filepath.Join(repo, "link")))
		stop := swapping(filepath.Join(repo, "packs"), filepath.Join(repo, "link"))
		for range 8 {
			w.larch("install", "org.example.Probe", "--yes", "--no-deltas")
			w.larch("uninstall", "org.example.Probe", "--yes")
			w.larch("gc")
		}
		stop()
		if _, err := os.Readlink(filepath.Join(repo, "packs")); err == nil {
			w.must(unix.Renameat2(unix.AT_FDCWD, filepath.Join(repo, "packs"), unix.AT_FDCWD, filepath.Join(repo, "link"), unix.RENAME_EXCHANGE))
		}
		w.ok("install", "org.example.Probe", "--yes")
		w.clean()
	})
	attack(t, "J-05 bytes that change after the check", "GHSA-qrwq-7qwx-q9rp, CVE-2024-27297: what was checked was still somebody else's to change", func(t *testing.T) {
		w := newWorld(t, 0)
		repo := w.foreign()
		packs := must(filepath.Glob(repo + "/packs/*"))(t)
		var mine [][]byte
		for _, pack := range packs { // kept open and mapped, as by a second session
			f := must(os.OpenFile(pack, os.O_RDWR, 0))(t)
			info := must(f.Stat())(t)
			mapped := must(unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED))(t)
			f.Close()
			defer unix.Munmap(mapped)
			mine = append(mine, mapped)
		}
		done := make(chan struct{})
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for at := 0; ; at += 4093 {
				select {
				case <-done:
					return
				default:
				}
				for _, m := range mine {
					m[at%len(m)] ^= 0x40
					m[at%len(m)] ^= 0x40
				}
			}
		}()
		for range 8 {
			w.larch("install", "org.example.Probe", "--yes", "--no-deltas")
			if r := w.larch("verify"); r.code != 0 {
				t.Errorf("something wrong was installed: %s%s", r.out, r.err)
			}
			w.larch("uninstall", "org.example.Probe", "--yes")
			w.larch("gc")
		}
		close(done)
		<-ended
		w.ok("install", "org.example.Probe", "--yes")
		w.clean()
	})
	attack(t, "J-06 the target of a copy is a link", "CVE-2026-39860: a copy was written through a link that lay under its name", func(t *testing.T) {
		w := newWorld(t, 0)
		name := w.installed("Probe", "")
		canary := w.canary(0)
		target := filepath.Join(w.owned("out", stranger, 0o777|os.ModeSticky), "image")
		w.must(os.Symlink(filepath.Join(canary, "f"), target), chown(target, stranger))
		r := w.larch("export", name, "--format", "composefs", target)
		if info, err := os.Lstat(target); err != nil || r.code == 0 && !info.Mode().IsRegular() {
			t.Errorf("%+v: %v, %v", r, info, err)
		}
	})
	attack(t, "J-09 a repository of another user", "CVE-2024-32020, CVE-2024-32021: a clone shared files with somebody else's repository, or followed its links", func(t *testing.T) {
		w := newWorld(t, ordinary)
		canary := w.canary(0)
		repo := w.foreign()
		pack := must(filepath.Glob(repo + "/packs/*"))(t)[0]
		for what, replace := range map[string]func() error{
			"a symlink": func() error { return os.Symlink(filepath.Join(canary, "f"), pack) },
			"a fifo":    func() error { return unix.Mkfifo(pack, 0o644) },
			"a folder":  func() error { return os.Mkdir(pack, 0o755) },
			"sparse":    func() error { return errors.Join(os.WriteFile(pack, nil, 0o644), os.Truncate(pack, 1<<40)) },
			"a device":  func() error { return unix.Mknod(pack, unix.S_IFCHR|0o644, int(unix.Mkdev(1, 5))) },
		} {
			w.must(os.Rename(pack, pack+".aside"), replace())
			if r := w.larch("install", "org.example.Probe", "--yes", "--no-deltas"); r.code == 0 {
				t.Errorf("%s instead of a pack: installed all the same", what)
			}
			w.must(os.RemoveAll(pack), os.Rename(pack+".aside", pack))
		}
		w.ok("install", "org.example.Probe", "--yes")
		for _, object := range must(filepath.Glob(w.root + "/objects/*/*"))(t) {
			st := must(os.Stat(object))(t).Sys().(*syscall.Stat_t)
			if st.Uid != ordinary {
				t.Errorf("%s belongs to user %d", object, st.Uid)
			}
		}
		w.clean()
	})
}
