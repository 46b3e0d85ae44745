package btrfssend

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pairOf is two states of a folder, the second one made out of the first.
type pairOf struct {
	name   string
	before func(t testing.TB, dir string)
	after  func(t testing.TB, dir string)
}

func must(t testing.TB, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// noise is content that does not repeat.
func noise(seed, size int) string {
	var b strings.Builder
	for x := uint64(seed)*0x9e3779b97f4a7c15 + 1; b.Len() < size; {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		fmt.Fprintf(&b, "%016x", x)
	}
	return b.String()[:size]
}

// pairs are changes of every kind that a stream can express.
func pairs() []pairOf {
	join := filepath.Join
	return []pairOf{
		{"nothing", func(t testing.TB, dir string) { write(t, dir, "a", "a") }, func(testing.TB, string) {}},
		{"rename of a folder", func(t testing.TB, dir string) {
			for i := range 20 {
				write(t, dir, fmt.Sprintf("old/sub/%d", i), noise(i, 5000))
			}
			write(t, dir, "old/readme", noise(99, 100))
		}, func(t testing.TB, dir string) {
			must(t, os.Rename(join(dir, "old"), join(dir, "new")))
			write(t, dir, "new/sub/3", noise(3, 5000)+"more")
			must(t, os.Remove(join(dir, "new/sub/4")))
		}},
		{"folders turned inside out", func(t testing.TB, dir string) {
			write(t, dir, "a/b/c/file", noise(1, 9000))
			write(t, dir, "a/b/other", noise(2, 9000))
			write(t, dir, "a/top", noise(3, 9000))
		}, func(t testing.TB, dir string) {
			must(t, os.Rename(join(dir, "a/b/c"), join(dir, "x")), os.Rename(join(dir, "a/b"), join(dir, "x/y")),
				os.Rename(join(dir, "a"), join(dir, "x/y/z")))
		}},
		{"folder and file change places", func(t testing.TB, dir string) {
			write(t, dir, "a/one", "one")
			write(t, dir, "a/deep/two", noise(4, 10000))
			write(t, dir, "b", noise(5, 10000))
		}, func(t testing.TB, dir string) {
			must(t, os.Rename(join(dir, "a"), join(dir, "c")), os.Rename(join(dir, "b"), join(dir, "a")), os.Rename(join(dir, "c"), join(dir, "b")))
		}},
		{"folder becomes symlink, symlink file, file folder", func(t testing.TB, dir string) {
			write(t, dir, "d/x", "x")
			must(t, os.Symlink("d", join(dir, "l")))
			write(t, dir, "f", "f")
		}, func(t testing.TB, dir string) {
			must(t, os.RemoveAll(join(dir, "d")), os.Remove(join(dir, "l")), os.Remove(join(dir, "f")), os.Symlink("f/x", join(dir, "d")))
			write(t, dir, "l", "l")
			write(t, dir, "f/x", "x")
		}},
		{"hardlinks", func(t testing.TB, dir string) {
			write(t, dir, "b", noise(6, 8000))
			must(t, os.Link(join(dir, "b"), join(dir, "c")), os.Link(join(dir, "b"), join(dir, "d")))
			write(t, dir, "e", noise(7, 8000))
			write(t, dir, "s/p", noise(8, 8000))
			must(t, os.Link(join(dir, "s/p"), join(dir, "s/q")))
			write(t, dir, "u", noise(9, 8000))
			must(t, os.Link(join(dir, "u"), join(dir, "v")))
		}, func(t testing.TB, dir string) {
			must(t, os.Remove(join(dir, "b")), os.Link(join(dir, "c"), join(dir, "a")), // another first name
				os.Remove(join(dir, "d")))
			write(t, dir, "d", noise(6, 8000)) // the same content, no link
			must(t, os.Link(join(dir, "e"), join(dir, "f")), os.Remove(join(dir, "v")), os.Link(join(dir, "u"), join(dir, "w")))
			write(t, dir, "s/q", noise(8, 8001)) // through the link
			must(t, os.Rename(join(dir, "s"), join(dir, "r")))
		}},
		{"content of a link changes, another name too", func(t testing.TB, dir string) {
			write(t, dir, "p", noise(1, 6000))
			must(t, os.Link(join(dir, "p"), join(dir, "q")), os.Link(join(dir, "p"), join(dir, "r")), os.Mkdir(join(dir, "z"), 0o755), os.Rename(join(dir, "q"), join(dir, "z/q")))
			write(t, dir, "z/other", noise(2, 6000))
		}, func(t testing.TB, dir string) {
			write(t, dir, "p", noise(3, 6000))
			must(t, os.Remove(join(dir, "z/q")))
			write(t, dir, "z/q", noise(1, 6000))
			must(t, os.Link(join(dir, "p"), join(dir, "s")), os.Rename(join(dir, "z"), join(dir, "a")))
		}},
		{"xattrs, modes, owners, times", func(t testing.TB, dir string) {
			for _, name := range []string{"a", "b", "c", "d"} {
				write(t, dir, name, noise(1, 50))
				must(t, unix.Setxattr(join(dir, name), "user.keep", []byte("1"), 0), unix.Setxattr(join(dir, name), "user.drop", []byte("1"), 0))
			}
			must(t, unix.Setxattr(dir, "user.root", []byte("1"), 0), os.Mkdir(join(dir, "dir"), 0o700))
			capable(t, join(dir, "b"), join(dir, "c"))
			must(t, os.Chown(join(dir, "d"), 7, 8), os.Chmod(join(dir, "d"), os.ModeSetuid|0o755), os.Symlink("t", join(dir, "l")), os.Lchown(join(dir, "l"), 5, 6))
		}, func(t testing.TB, dir string) {
			must(t, unix.Removexattr(join(dir, "a"), "user.drop"), unix.Setxattr(join(dir, "a"), "user.keep", []byte("2"), 0),
				unix.Setxattr(join(dir, "a"), "user.empty", nil, 0), unix.Removexattr(dir, "user.root"))
			must(t, os.Chmod(join(dir, "a"), 0o600), os.Chown(join(dir, "b"), 1, 2))
			capable(t, join(dir, "b"))
			write(t, dir, "c", noise(2, 50)) // takes the capability away
			must(t, os.Chown(join(dir, "d"), 9, 9), os.Chmod(join(dir, "d"), os.ModeSetuid|0o755), os.Chmod(join(dir, "dir"), os.ModeSticky|os.ModeSetgid|0o777))
			must(t, os.Lchown(join(dir, "l"), 0, 0), os.Chtimes(join(dir, "b"), time.Unix(1, 2), time.Unix(1e9, 123456789)), os.Chmod(dir, 0o711))
		}},
		{"inherited group", func(t testing.TB, dir string) {
			must(t, os.Mkdir(join(dir, "g"), 0o755), os.Chown(join(dir, "g"), 0, 44), os.Chmod(join(dir, "g"), os.ModeSetgid|0o755))
		}, func(t testing.TB, dir string) {
			write(t, dir, "g/file", "x")
			must(t, os.Chown(join(dir, "g/file"), 0, 0), os.Mkdir(join(dir, "g/sub"), 0o755), os.Chown(join(dir, "g/sub"), 0, 0), os.Chmod(join(dir, "g/sub"), 0o755))
		}},
		{"content", func(t testing.TB, dir string) {
			write(t, dir, "big", noise(1, 3<<20))
			write(t, dir, "grows", noise(2, 100000))
			write(t, dir, "shrinks", noise(3, 100000))
			write(t, dir, "empties", noise(4, 100000))
			write(t, dir, "empty", "")
			write(t, dir, "holes", strings.Repeat("\x00", 300000)+"x"+strings.Repeat("\x00", 300000))
			write(t, dir, "exact", noise(5, 48<<10*2))
			write(t, dir, "copied", noise(6, 20000))
			write(t, dir, "replaced", noise(7, 20000))
		}, func(t testing.TB, dir string) {
			big := []byte(noise(1, 3<<20))
			copy(big[1500000:], "changed in the middle")
			write(t, dir, "big", string(big))
			write(t, dir, "grows", noise(2, 100000)+strings.Repeat("\x00", 1<<20)+"end")
			write(t, dir, "shrinks", noise(3, 54321))
			write(t, dir, "empties", "")
			write(t, dir, "empty", strings.Repeat("\x00", 10000))
			write(t, dir, "holes", strings.Repeat("\x00", 300000)+noise(8, 5000)+strings.Repeat("\x00", 200000))
			write(t, dir, "exact", noise(5, 48<<10))
			write(t, dir, "copy", noise(6, 20000))
			write(t, dir, "replaced", noise(6, 20000))
		}},
		{"swapped names", func(t testing.TB, dir string) {
			write(t, dir, "a", noise(1, 9000))
			write(t, dir, "b", noise(2, 9000))
			write(t, dir, "x/1", noise(3, 9000))
			write(t, dir, "y/1", noise(4, 9000))
		}, func(t testing.TB, dir string) {
			must(t, unix.Renameat2(unix.AT_FDCWD, join(dir, "a"), unix.AT_FDCWD, join(dir, "b"), unix.RENAME_EXCHANGE),
				unix.Renameat2(unix.AT_FDCWD, join(dir, "x"), unix.AT_FDCWD, join(dir, "y"), unix.RENAME_EXCHANGE))
		}},
		{"5,000 files", func(t testing.TB, dir string) {
			for i := range 5000 {
				write(t, dir, fmt.Sprintf("%02d/%04d", i%50, i), noise(i, i%300))
			}
		}, func(t testing.TB, dir string) {
			for i := range 5000 {
				name := fmt.Sprintf("%02d/%04d", i%50, i)
				switch i % 7 {
				case 0:
					must(t, os.Remove(join(dir, name)))
				case 1:
					must(t, os.Rename(join(dir, name), join(dir, fmt.Sprintf("%02d/%04d", (i+9)%50, i))))
				case 2:
					write(t, dir, name, noise(i+1, i%400))
				}
			}
		}},
		{"deep nesting", func(t testing.TB, dir string) {
			write(t, dir, strings.Repeat("d/", 120)+"file", noise(1, 5000))
		}, func(t testing.TB, dir string) {
			must(t, os.Rename(join(dir, strings.Repeat("d/", 60)), join(dir, "moved")))
			write(t, dir, "moved/"+strings.Repeat("d/", 60)+"file", noise(1, 5000)+"!")
		}},
		{"names like those of the kernel", func(t testing.TB, dir string) {
			write(t, dir, "o257-1-0", noise(1, 9000))
			write(t, dir, "o257-2-0/x", noise(2, 9000))
			write(t, dir, "a", noise(3, 9000))
		}, func(t testing.TB, dir string) {
			must(t, os.Rename(join(dir, "a"), join(dir, "o258-1-0")), os.Rename(join(dir, "o257-1-0"), join(dir, "a")))
		}},
	}
}

// capable gives files a capability.
func capable(t testing.TB, names ...string) {
	t.Helper()
	value := []byte{1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0} // cap_net_bind_service=p, version 2
	for _, name := range names {
		if err := unix.Setxattr(name, "security.capability", value, 0); err != nil {
			t.Fatal(err)
		}
	}
}
