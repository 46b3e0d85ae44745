package larch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What these packages offer besides what takes the name of a file. A name that is
// in neither list and is no constant of unix counts as one that does.
var harmless = map[string]string{
	"os": `Args DevNull Environ Executable Exit File FileMode Getegid Geteuid Getenv Getgid Getpagesize Getpid Getuid Getwd
		Interrupt IsNotExist NewFile NewSyscallError PathError Pipe ProcessState Setenv Stderr Stdin Stdout TempDir UserCacheDir
		ErrNotExist ErrPermission ModeCharDevice ModeSetuid O_CREATE O_RDONLY O_RDWR O_WRONLY`,
	"path/filepath": "Abs Base Clean Dir Ext FromSlash IsAbs Join Rel Split SplitList ToSlash",
	"syscall":       "Credential Errno Fstatfs ProcAttr Rusage Stat_t Statfs_t SysProcAttr SysProcIDMap WaitStatus",
	"golang.org/x/sys/unix": `Bind ByteSliceToString CachestatRange Cachestat_t Cachestat Close CloseOnExec CmsgSpace CopyFileRange Errno Fadvise FcntlInt Fchmod Fgetxattr FinitModule
		Flistxattr Flock Fremovexattr FsconfigCreate FsconfigSetFd FsconfigSetFlag Fsetxattr Fstat Fstatfs FsverityDigest
		FsverityEnableArg Getrlimit Getrusage IoctlFileClone IoctlIfreq IoctlLoopConfigure IoctlRetInt IoctlSetInt Kill Listen LoopConfig
		LoopInfo64 Madvise Major MemfdCreate Minor Mmap MountAttr MountSetattr Munmap NewIfreq OpenHow ParseSocketControlMessage
		ParseUnixRights PathMax Prctl Read ReadDirent Reboot Recvmsg Rlimit Rusage SockaddrUnix Socket Socketpair Stat_t
		Statfs_t Statx_t Sync Syncfs Timespec Umask Wait4 WaitStatus Write Writev`,
}

// constant are names of unix and syscall that stand for numbers.
var constant = regexp.MustCompile(`^[A-Z0-9]+(_[A-Z0-9]+)*$|^(O|S|AT)_`)

// byName is who names files by paths all the same: package and function, what it
// calls, and why it may.
var byName = []struct{ where, calls, why string }{
	// Folders and files that the user names on the command line, in an environment
	// variable or in a setting: they are the user's own, links in them included.
	{"internal/beneath Open", "unix.Open", "the folder itself, from which on names are resolved by handles"},
	{"internal/beneath chmodUnreadable", "unix.Chmod", "/proc/self/fd: a folder that its owner cannot open"},
	{"install makeFolder", "os.MkdirAll os.Mkdir os.Chmod", "the installation's folder, before there is a handle on it"},
	{"install unmapped", "os.ReadFile", "/proc/self/uid_map"},
	{"install checkAbove", "unix.Openat", "the folders above an open one, by \"..\""},
	{"repo Init", "os.MkdirAll", "the repository's folder, before there is a handle on it"},
	{"trust makeFolder", "os.Stat os.Mkdir", "the folder of keys"},
	{"cmd/larch command.passphrase", "os.ReadFile os.OpenFile", "the file of the passphrase, and /dev/tty"},
	{"cmd/larch command.addRemote", "os.Open", "the .larchrepo file"},
	{"cmd/larch openSource", "os.Stat", "the folder or archive to publish"},
	{"cmd/larch command.image", "os.Open", "the dump to make an image of"},
	{"cmd/larch command.openStreams", "os.Open", "the streams to import"},
	{"convert/tarball open", "os.OpenFile", "the archive"},
	{"fetch candidates", "filepath.WalkDir", "the folder of --seed: what is found counts by its digest alone"},
	{"fetch openSeed", "os.OpenFile", "a file of --seed, never a link or a fifo in the last place"},
	{"transport/web readNetrc", "os.Open", "the file of passwords"},
	{"install Installation.detachScratch", "os.Readlink", "/proc/self/fd: to compare a folder with the table of mounts"},
	{"install openPoint", "unix.Open", "the folder to mount on, by O_PATH and never a link"},
	{"install Unmount", "filepath.EvalSymlinks", "to compare the folder with the table of mounts"},
	{"deploy/composefs otherPlace", "filepath.EvalSymlinks", "to compare a folder with the table of mounts"},

	{"cmd/larch command.withPool", "os.Open", "the installation's folder, to see what is mounted there"},
	{"internal/pool", "filepath.EvalSymlinks filepath.Glob os.Mkdir os.MkdirAll os.Open os.OpenFile os.ReadDir os.ReadFile os.Readlink os.Remove os.Stat unix.Linkat unix.Lstat unix.Open unix.Statfs",
		"a file or device and a mount point that root names, which checkPlace wants nobody else to be able to exchange; units of systemd, /sys/block, /proc/self/fd"},

	// Temporary files: made with O_EXCL under names that nobody can guess, in a
	// folder of mode 0700 where they have to keep them.
	{"internal/tempfile New", "os.OpenFile", "without a name"},
	{"internal/tempfile named", "os.CreateTemp os.Remove", "loses its name at once"},
	{"install Plan.aside", "os.MkdirTemp os.RemoveAll", "what a dry run reads"},
	{"install scratchStore.Close", "os.RemoveAll", "what a dry run has read"},

	// The kernel's own files, and the machine's programs and settings.
	{"deploy/fuse attach", "os.Readlink", "/proc/self/fd: what fusermount3 is told"},
	{"deploy/fuse detach", "os.Readlink", "/proc/self/fd: what fusermount3 is told"},
	{"deploy/fuse attachDirectly", "unix.Open unix.Mount", "/dev/fuse, and a mount point by its handle"},
	{"deploy/fuse pastCache", "os.OpenFile", "/proc/self/fd: the same file"},
	{"deploy/fuse readAhead", "os.WriteFile", "/sys/class/bdi"},
	{"deploy/overlay Enter", "unix.Exec", "the program that the caller was asked to start"},
	{"internal/verity Enable", "os.Open", "/proc/self/fd: the same file, read-only"},
	{"trust outdate", "os.Chtimes", "/proc/self/fd: the time of an open file"},
	{"internal/mount", "os.Open os.OpenFile unix.Fsopen unix.FsconfigSetString unix.Fsmount unix.MoveMount unix.OpenTree unix.Unmount unix.Mount",
		"mounts by handles, /dev/loop-control, /dev/loopN and /proc/self/mountinfo"},
	{"tree readXattrs", "unix.Llistxattr unix.Lgetxattr", "a name in an open folder, by way of /proc/self/fd, never followed"},
	{"sandbox findBubblewrap", "os.Stat", "the program bwrap"},
	{"sandbox bubblewrap.executable", "os.Open", "the program bwrap"},
	{"sandbox lookPath", "unix.Access", "PATH, by absolute folders alone"},
	{"sandbox closeOnExec", "os.ReadDir", "/proc/self/fd"},
	{"sandbox process.run", "os.ReadFile", "/proc/sys and the like: why there are no namespaces"},
	{"sandbox", "os.Lstat os.ReadDir os.Stat filepath.EvalSymlinks unix.Stat", "what there is at the root, in /usr and /run, and where the home folder is"},

	// By handle, with a name in that folder or an empty one.
	{"internal/beneath Dir.Device", "unix.Statx", "below the folder, as Fstatat"},
	{"deploy placeSymlink", "unix.Fchownat", "AT_EMPTY_PATH"},
	{"internal/inode SetTime", "unix.UtimesNanoAt", "AT_EMPTY_PATH"},
	{"internal/verity ioctl", "unix.Syscall", "ioctl"},
	{"internal/btrfs call", "unix.Syscall", "ioctl"},
	{"deploy/fuse device.ioctl", "unix.Syscall", "ioctl"},
}

// tools are no part of the product: suites for tests, and programs that measure and
// that start virtual machines.
var tools = []string{
	"deploy/deploytest", "transport/transporttest", "internal/btrfs/btrfstest", "internal/vm", "internal/roadtest", "internal/bench",
	"internal/backendbench", "internal/faults", "internal/powercut", "internal/loadbench", "internal/attack", "internal/measure", "sandbox/testdata/probe",
}

// use is one mention of a function that takes the name of a file.
type use struct{ pkg, function, call string }

// TestPathsAreResolvedByOnePackage finds every function of the standard library and
// of unix that takes the name of a file, wherever it is mentioned outside of tests,
// and wants a reason for each. Below a store, a deployment, a repository or an export
// folder there is none: that is what internal/beneath is for.
func TestPathsAreResolvedByOnePackage(t *testing.T) {
	unused := map[string]bool{}
	for _, entry := range byName {
		for call := range strings.FieldsSeq(entry.calls) {
			unused[entry.where+" "+call] = true
		}
	}
	for _, u := range pathUses(t) {
		if u.pkg == "internal/beneath" && (strings.HasSuffix(u.call, "at") || strings.HasSuffix(u.call, "at2")) {
			continue
		}
		reason := ""
		for _, entry := range byName {
			if (entry.where == u.pkg || entry.where == u.pkg+" "+u.function) && slices.Contains(strings.Fields(entry.calls), u.call) {
				reason = entry.where + " " + u.call
				break
			}
		}
		if reason == "" {
			t.Errorf("%s: %s calls %s: use internal/beneath, or say in paths_test.go why not", u.pkg, u.function, u.call)
		}
		delete(unused, reason)
	}
	for _, left := range slices.Sorted(maps.Keys(unused)) {
		t.Errorf("%s is on the list, and not in the source", left)
	}
}

// pathUses reads the module.
func pathUses(t *testing.T) (all []use) {
	for _, dir := range folders(t) {
		dir = filepath.ToSlash(dir)
		if isTool(dir) {
			continue
		}
		names, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			source, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			found, err := usesIn(dir, string(source))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, found...)
		}
	}
	return all
}

// usesIn reads one file.
func usesIn(pkg, source string) (all []use, err error) {
	file, err := parser.ParseFile(token.NewFileSet(), pkg, source, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	imported := map[string]string{}
	for _, spec := range file.Imports {
		from := strings.Trim(spec.Path.Value, `"`)
		as := path.Base(from)
		if spec.Name != nil {
			as = spec.Name.Name
		}
		if _, watched := harmless[from]; watched {
			if as == "." || as == "_" {
				return nil, &fs.PathError{Op: "import as " + as, Path: from, Err: fs.ErrInvalid}
			}
			imported[as] = from
		}
	}
	for _, decl := range file.Decls {
		function := "var"
		if f, ok := decl.(*ast.FuncDecl); ok {
			function = name(f)
		}
		ast.Inspect(decl, func(n ast.Node) bool {
			s, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			x, ok := s.X.(*ast.Ident)
			if from := imported[identifier(x, ok)]; from != "" && takesName(from, s.Sel.Name) {
				all = append(all, use{pkg, function, path.Base(from) + "." + s.Sel.Name})
			}
			return true
		})
	}
	return all, nil
}

func identifier(x *ast.Ident, ok bool) string {
	if !ok {
		return ""
	}
	return x.Name
}

// name is a function's, or a type's and its method's.
func name(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return f.Name.Name
	}
	of := f.Recv.List[0].Type
	if star, ok := of.(*ast.StarExpr); ok {
		of = star.X
	}
	if ident, ok := of.(*ast.Ident); ok {
		return ident.Name + "." + f.Name.Name
	}
	return f.Name.Name
}

func takesName(from, name string) bool {
	if slices.Contains(strings.Fields(harmless[from]), name) {
		return false
	}
	return from == "os" || from == "path/filepath" || !constant.MatchString(name)
}

// TestPathUsesAreFound tries the search itself.
func TestPathUsesAreFound(t *testing.T) {
	found, err := usesIn("p", `package p
import (
	"os"
	sys "golang.org/x/sys/unix"
	"path/filepath"
)
var open = os.Open
type T struct{}
func (t *T) Do() { sys.Renameat2(0, "", 0, "", sys.RENAME_EXCHANGE); _ = sys.Fstat }
func do() { filepath.WalkDir(".", nil); _ = filepath.Join("a"); _ = os.Getenv("x"); var os T; _ = os }
`)
	want := []use{{"p", "var", "os.Open"}, {"p", "T.Do", "unix.Renameat2"}, {"p", "do", "filepath.WalkDir"}}
	if err != nil || !slices.Equal(found, want) {
		t.Errorf("%v, %v", found, err)
	}
	if _, err := usesIn("p", "package p\nimport . \"os\"\n"); err == nil {
		t.Error("a package without its name was not noticed")
	}
}
