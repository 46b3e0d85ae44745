package content

import (
	"archive/tar"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/repo"
	"github.com/larch-project/larch/tree"
)

// TestInodes is about modes, owners, attributes and what is no file.
func TestInodes(t *testing.T) {
	moded := func(l line, mode string) []byte { return application(l.with(func(l *line) { l.mode = mode })) }
	t.Run("D-01 setuid and setgid files give privilege away", func(t *testing.T) {
		w := newWorld(t)
		large := file("/files/a", program("2")["files/share/same"])
		for _, mode := range []string{"104755", "102755", "106777", "101755", "104000"} {
			w.refuse(t, mode, &lie{text: moded(file("/files/a", "x"), mode)}, refused("R4"))
			w.refuse(t, mode+", external", &lie{text: moded(large, mode)}, refused("R4"))
		}
		w.refuse(t, "a setgid folder", &lie{text: moded(folder("/files/a"), "42755")}, refused("R5"))
		for _, mode := range []int64{0o4755, 0o2755, 0o6777} {
			w.refuseArchive(t, fmt.Sprintf("%o", mode), archive(t, entry(tar.TypeReg, "files/a", "", mode)), ruled("R4"))
		}
		w.refuseFolder(t, "4755", func(dir string) error { return os.Chmod(filepath.Join(dir, "files/bin/hello"), fs.ModeSetuid|0o755) }, ruled("R4"))
		w.heal(t)
	})
	t.Run("D-02 what everybody can write is what everybody can change", func(t *testing.T) {
		w := newWorld(t)
		for _, mode := range []string{"100777", "100666", "100646"} {
			w.refuse(t, mode, &lie{text: moded(file("/files/a", "x"), mode)}, refused("R4"))
		}
		for _, mode := range []string{"41777", "40777", "40775", "40700"} {
			w.refuse(t, mode, &lie{text: moded(folder("/files/a"), mode)}, refused("R5"))
		}
		w.refuseArchive(t, "666", archive(t, entry(tar.TypeReg, "files/a", "", 0o666)), ruled("R4"))
		w.heal(t)
	})
	t.Run("D-03 modes do not depend on who installs", func(t *testing.T) {
		w := newWorld(t)
		for _, mode := range []string{"100000", "100200", "100600", "100400", "100700"} {
			w.refuse(t, mode, &lie{text: moded(file("/files/a", "x"), mode)}, refused("R5"))
		}
		good := sorted(file("/files/a", "x"), file("/files/b", program("2")["files/share/same"]).with(func(l *line) { l.mode = "100755" }), folder("/files/c"))
		for _, mask := range []int{0, 0o027, 0o077} {
			old := unix.Umask(mask)
			under := newWorld(t)
			under.accept(t, fmt.Sprintf("umask %03o", mask), &lie{text: good}) // verify compares the modes
			under.heal(t)
			unix.Umask(old)
		}
		w.heal(t)
	})
	t.Run("D-04 devices, pipes and sockets are no contents, and reading one hangs", func(t *testing.T) {
		w := newWorld(t)
		for what, mode := range map[string]string{"block": "60644", "char": "20644", "fifo": "10644", "socket": "140644", "door": "150000"} {
			w.refuse(t, what, &lie{text: moded(file("/files/a", ""), mode)}, []error{ruled("F6")})
		}
		w.refuse(t, "a whiteout", &lie{text: application(file("/files/a", "").with(func(l *line) { l.mode = "20000" }))}, []error{ruled("F6")})
		w.refuse(t, "a device number", &lie{text: application(file("/files/a", "").with(func(l *line) { l.rdev = "259" }))}, []error{ruled("F6")})
		for what, kind := range map[string]byte{"block": tar.TypeBlock, "char": tar.TypeChar, "fifo": tar.TypeFifo} {
			w.refuseArchive(t, what, archive(t, entry(kind, "files/a", "", 0o644)), ruled("R2"))
		}
		w.refuseFolder(t, "fifo", func(dir string) error { return unix.Mkfifo(filepath.Join(dir, "files/a"), 0o644) }, ruled("R2"))
		w.refuseFolder(t, "metadata is a fifo", func(dir string) error {
			return firstOf(os.Remove(filepath.Join(dir, "metadata")), unix.Mkfifo(filepath.Join(dir, "metadata"), 0o644))
		}, errAny)
		w.refuseFolder(t, "socket", func(dir string) error {
			return unix.Mknod(filepath.Join(dir, "files/a"), unix.S_IFSOCK|0o644, 0)
		}, ruled("R2"))
		w.heal(t)
	})
	t.Run("D-05 modes that no file has", func(t *testing.T) {
		w := newWorld(t)
		for _, mode := range []string{"170644", "644", "0", "200644", "37777777777", "40000000000", "-100644", "100688", "1e5", "", "@", "@@100644"} {
			w.refuse(t, "mode "+mode, &lie{text: moded(file("/files/a", "x"), mode)}, []error{anyOf{ruled("F3"), ruled("F6")}})
		}
		w.heal(t)
	})
	t.Run("D-06 owners that are not the installer", func(t *testing.T) {
		w := newWorld(t)
		for _, id := range []string{"1", "65534", "1000"} {
			w.refuse(t, "user "+id, &lie{text: application(file("/files/a", "x").with(func(l *line) { l.uid = id }))}, refused("R3"))
			w.refuse(t, "group "+id, &lie{text: application(folder("/files/a").with(func(l *line) { l.gid = id }))}, refused("R3"))
		}
		for _, id := range []string{"4294967295", "4294967296", "-1", "-2", "18446744073709551615"} {
			w.refuse(t, "user "+id, &lie{text: application(file("/files/a", "x").with(func(l *line) { l.uid = id }))}, []error{ruled("F3")})
		}
		w.heal(t)
	})
	t.Run("D-07 attributes that the kernel acts on", func(t *testing.T) {
		w := newWorld(t)
		for key, rule := range map[string]string{
			"security.capability": "R6", "security.selinux": "R6", "security.ima": "R6", "security.evm": "R6", "system.posix_acl_access": "R6",
			"system.posix_acl_default": "R6", "btrfs.compression": "R6", "user": "R6", "User.x": "R6",
			"trusted.overlay.redirect": "R7", "trusted.overlay.opaque": "R7", "trusted.x": "R7", "user.overlay.redirect": "R7", "user.overlay.whiteout": "R7", "user.overlay.overlay.metacopy": "R7",
		} {
			for _, l := range []line{file("/files/a", "x"), folder("/files/a")} {
				w.refuse(t, key+" of "+l.mode, &lie{text: application(l.with(func(l *line) { l.xattrs = " " + key + "=/etc" }))}, refused(rule))
			}
		}
		m := plain("files/a", "x")
		m.PAXRecords = map[string]string{"SCHILY.xattr.trusted.overlay.redirect": "/etc"}
		w.refuseArchive(t, "redirect", archive(t, m), ruled("R7"))
		m.PAXRecords = map[string]string{"SCHILY.xattr.security.capability": "\x01\x00\x00\x02"}
		w.refuseArchive(t, "capability", archive(t, m), ruled("R6"))
		w.heal(t)
	})
	t.Run("D-08 attributes of every wrong shape", func(t *testing.T) {
		w := newWorld(t)
		for what, xattrs := range map[string]string{
			"no value": " user.a", "no name": " =x", "twice": " user.a=1 user.a=2", "unsorted at first": " user.b=1 user.a=2 user.c=3",
			"unsorted in the middle": " user.a=1 user.c=2 user.b=3 user.d=4", "unsorted at last": " user.a=1 user.b=2 user.a=3",
			"NUL in a name": ` user.a\x00b=1`, "a name of 256": " user." + strings.Repeat("a", 251) + "=1",
			"a value of 64 KiB": " user.a=" + strings.Repeat("x", 64<<10+1), "a value of 16,384": " user.a=" + strings.Repeat("x", 16384),
			"an empty field": " ", "an equals sign": " user.a=b=c", "a long escape": ` user.a=\x3D`,
		} {
			w.refuse(t, what, &lie{text: application(file("/files/a", "x").with(func(l *line) { l.xattrs = xattrs }))}, []error{anyOf{ruled("F11"), ruled("F2")}})
		}
		w.refuse(t, "on a link", &lie{text: application(link("/files/a", "b").with(func(l *line) { l.xattrs = " user.a=1" }))}, []error{ruled("F8")})
		w.heal(t)
	})
	t.Run("D-09 times before and behind all clocks", func(t *testing.T) {
		w := newWorld(t)
		for _, when := range []string{"-1.0", "-9223372036854775808.0", "9223372036854775807.0", "8589934592.0", "0.1000000000", "0.-1", "0", "1.5.5", "0x1.0", "1e9.0"} {
			w.refuse(t, when, &lie{text: application(file("/files/a", "x").with(func(l *line) { l.mtime = when }))}, []error{ruled("F3")})
		}
		w.accept(t, "the last moment", &lie{text: application(file("/files/a", "x").with(func(l *line) { l.mtime = "8589934591.999999999" }))})
		w.heal(t)
	})
	t.Run("D-10 sizes that are declared are not allocated", func(t *testing.T) {
		w := newWorld(t)
		for _, size := range []string{"9223372036854775807", "9223372036854775808", "18446744073709551615", "9007199254740993"} {
			w.refuse(t, size, &lie{text: application(claimed("/files/a", 0).with(func(l *line) { l.size = size }))}, []error{ruled("F3")})
		}
		w.refuse(t, "1 TiB of which there is a byte", &lie{text: application(claimed("/files/a", 1<<40)), contents: [][]byte{{1}}}, []error{anyOf{repo.ErrIndex, repo.ErrDelta}})
		w.heal(t)
	})
	t.Run("D-11 hardlinks that lead out, or through a link", func(t *testing.T) {
		w := newWorld(t)
		for what, target := range map[string]string{"absolute": "/etc/passwd", "above": "../x", "through a link": "files/d/passwd", "itself": "files/h", "later": "files/z"} {
			w.refuseArchive(t, what, archive(t, entry(tar.TypeSymlink, "files/d", "/etc", 0o777), entry(tar.TypeLink, "files/h", target, 0o644), plain("files/z", "x")), tree.ErrFormat)
		}
		w.refuse(t, "through a link", &lie{text: application(link("/files/d", "/etc"), again(file("/files/d/passwd", "x"), "/files/h").with(func(l *line) { l.nlink = "2" }))}, []error{ruled("F10")})
		w.heal(t)
	})
}

// firstOf gives the first error.
func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
