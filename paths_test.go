package larch

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What these packages offer besides what takes the name of a file, or runs a program.
// A name that is in neither list and is no constant of unix counts as one that does. The
// last part of the path is the package's name.
var harmless = map[string]string{
	"os": `Args DevNull Environ Executable Exit File FileMode Getegid Geteuid Getenv Getgid Getpagesize Getpid Getuid Getwd
		Interrupt IsNotExist NewFile NewSyscallError PathError Pipe ProcessState Setenv Stderr Stdin Stdout TempDir UserCacheDir
		ErrNotExist ErrPermission ModeCharDevice ModeSetuid O_CREATE O_RDONLY O_RDWR O_WRONLY`,
	"path/filepath": "Abs Base Clean Dir Ext FromSlash IsAbs Join Rel Split SplitList ToSlash",
	"syscall":       "Credential Errno Fstatfs ProcAttr Rusage Stat_t Statfs_t SysProcAttr SysProcIDMap WaitStatus",
	"golang.org/x/sys/unix": `ByteSliceToString Cachestat CachestatRange Cachestat_t Close CloseOnExec CmsgSpace CopyFileRange Errno Fadvise FcntlInt Fchmod Fgetxattr FinitModule
		Flistxattr Flock Fremovexattr FsconfigCreate FsconfigSetFd FsconfigSetFlag Fsetxattr Fstat Fstatfs FsverityDigest
		FsverityEnableArg Getrlimit Getrusage IoctlFileClone IoctlIfreq IoctlLoopConfigure IoctlLoopGetStatus64 IoctlRetInt IoctlSetInt Kill Listen LoopConfig
		LoopInfo64 Madvise Major MemfdCreate Minor Mmap MountAttr Munmap NewIfreq OpenHow ParseSocketControlMessage
		ParseUnixRights PathMax Prctl Read ReadDirent Reboot Recvmsg Rlimit Rusage SockaddrUnix Socket Socketpair Stat_t
		Statfs_t Statx_t Sync Syncfs Timespec Umask Wait4 WaitStatus Write Writev`,
	"os/exec": "Cmd ErrNotFound ExitError",
	"net":     "Conn DNSError Error IP IPv4 Listener OpError TCPConn",
	"net/http": `ConnState ErrAbortHandler ErrSchemeMismatch ErrServerClosed Error HTTP2Config Handler HandlerFunc Header MethodGet
		NewRequestWithContext NewResponseController NoBody NotFound ParseTime Request Response ResponseWriter Server StateClosed StateHijacked StateNew
		StatusForbidden StatusFound StatusGone StatusHTTPVersionNotSupported StatusMovedPermanently StatusNotFound StatusNotImplemented
		StatusNotModified StatusOK StatusPartialContent StatusPermanentRedirect StatusProxyAuthRequired StatusRequestTimeout
		StatusRequestedRangeNotSatisfiable StatusSeeOther StatusTemporaryRedirect StatusText StatusTooManyRequests StatusUnauthorized
		TimeFormat Transport`,
	"crypto/tls":                "Certificate CertificateVerificationError Config RecordHeaderError VersionTLS12",
	"archive/tar":               "FormatGNU FormatPAX Header NewReader NewWriter Reader TypeBlock TypeChar TypeCont TypeDir TypeFifo TypeGNUSparse TypeLink TypeReg TypeSymlink TypeXGlobalHeader TypeXHeader Writer",
	module + "internal/beneath": "Dir ErrTooLarge",
	"github.com/hanwen/go-fuse/v2/fuse": `AccessIn Attr AttrOut BackingMap CAP_HAS_RESEND DirEntry DirEntryList EINTR EINVAL EIO ENOATTR ENOENT ENOSYS ENOTDIR
		ERANGE EntryOut FOPEN_KEEP_CACHE FOPEN_PASSTHROUGH FUSE_ROOT_ID FlushIn GetAttrIn InHeader InitOut MountOptions NewDefaultRawFileSystem NewProtocolServer OK OpenIn
		OpenOut OutHeader Owner ProtocolServer RawFileSystem ReadIn ReadResult ReleaseIn StatfsOut Status ToStatus`,
}

// nameless are the other packages that the product is made with. None of them takes the
// name of a file; one that is not here has to be looked at.
var nameless = strings.Fields(`
	bufio bytes cmp compress/gzip compress/zlib container/heap container/list context crypto/ed25519 crypto/rand crypto/sha256 crypto/x509
	encoding/base64 encoding/binary encoding/hex encoding/json encoding/pem errors fmt hash/crc32 hash/maphash io io/fs iter log maps math math/bits
	math/rand/v2 mime net/netip net/url os/signal path regexp runtime runtime/debug slices sort strconv strings sync sync/atomic time
	unicode unicode/utf8 unique unsafe
	filippo.io/age filippo.io/age/armor github.com/klauspost/compress/zstd github.com/sigstore/sigstore/pkg/signature github.com/spf13/cobra
	github.com/theupdateframework/go-tuf/v2/metadata github.com/theupdateframework/go-tuf/v2/metadata/trustedmetadata
	github.com/vbauerster/mpb/v8 github.com/vbauerster/mpb/v8/decor golang.org/x/net/bpf golang.org/x/net/http/httpproxy
	golang.org/x/sync/errgroup golang.org/x/sync/semaphore golang.org/x/sys/cpu golang.org/x/term`)

// constant are names of unix and syscall that stand for numbers.
var constant = regexp.MustCompile(`^[A-Z0-9]+(_[A-Z0-9]+)*$|^(O|S|AT)_`)

// byName is who names files by paths all the same: package and function, what it
// calls, and why it may.
var byName = []struct{ where, calls, why string }{
	// Folders and files that the user names on the command line, in an environment
	// variable or in a setting: they are the user's own, links in them included.
	{"internal/beneath Open", "unix.Open", "the folder itself, from which on names are resolved by handles"},
	{"internal/beneath Dir.ReadDir", ".Readdirnames", "of an open folder"},
	{"internal/beneath Dir.removeContents", ".Readdirnames", "of an open folder"},
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
	{"install openFolder", "unix.Openat2", "the folder to mount on, by a path of which no link is a part"},
	{"install Unmount", "filepath.EvalSymlinks", "to compare the folder with the table of mounts"},
	{"deploy/composefs otherPlace", "filepath.EvalSymlinks", "to compare a folder with the table of mounts"},

	{"cmd/larch command.withPool", "os.Open", "the installation's folder, to see what is mounted there"},
	{"internal/pool writeUnits", "beneath.Open", "the folder of systemd's units"},
	{"internal/pool makeFS", "exec.CommandContext", "mkfs.btrfs"},
	{"internal/pool reload", "exec.Command", "systemctl"},
	{"internal/pool Create", "os.Remove", "the file, if it could not be made a pool"},
	{"internal/pool Options.createInFile", "os.Remove", "the same"},
	{"internal/pool Options.createOnDevice", "os.Open os.OpenFile", "the device that root names"},
	{"internal/pool Options.interrupted", "unix.Lstat", "the pool's file, which checkPlace wants nobody else to be able to exchange"},
	{"internal/pool Options.makeFile", "os.OpenFile unix.Linkat", "the same"},
	{"internal/pool Pool.cut", "os.OpenFile", "the same"},
	{"internal/pool openMarked", "unix.Open", "the same"},
	{"internal/pool Forget", "os.Open", "the mount point, which root names"},
	{"internal/pool unclaimed", "os.Open", "the same"},
	{"internal/pool Pool.below", "unix.Statfs", "the folder of the pool's file"},
	{"internal/pool Mount", "os.MkdirAll", "the mount point, of mode 0700, which root names"},
	{"internal/pool preparePoint", "os.Mkdir os.ReadDir", "the same"},
	{"internal/pool attach", "os.Open", "the pool's file, for a loop device"},
	{"internal/pool syncDir", "os.Open", "the folder of the pool's file"},
	{"internal/pool checkPlace", "filepath.EvalSymlinks unix.Lstat", "the folders above the pool's file"},
	{"internal/pool backing", "os.ReadFile", "/sys/block"},
	{"internal/pool loopOf", "filepath.Glob os.Readlink", "/sys/block"},
	{"internal/pool reload", "os.Stat", "whether systemd runs"},
	{"internal/pool RemoveUnits", "os.Remove", "systemd's units of the pool"},

	// Folders in which names are resolved by handles from then on: those that the user
	// names, or the system.
	{"install Open", "beneath.Open", "the installation"},
	{"repo Init", "beneath.Open", "the repository"},
	{"repo Open", "beneath.Open", "the repository"},
	{"transport/file New", "beneath.Open", "the repository"},
	{"trust KeyStore.open", "beneath.Open", "the folder of keys"},
	{"trust makeFolder", "beneath.Open", "the folder in which that of keys is made"},
	{"tree Folder", "beneath.Open", "the folder to publish"},
	{"cmd/larch command.writeOutput", "beneath.Open", "the folder of --output"},
	{"deploy/overlay order.enter", "beneath.Open", "the installation, again, in a mount namespace of its own"},
	{"deploy/fuse Serve", "beneath.Open", "/proc/self/fd: the installation, as its server inherits it"},
	{"deploy/fuse Stop", "beneath.Open", "the installation"},
	{"deploy/composefs note.try", "beneath.Open", "/proc/self/fd: a mount that is attached nowhere yet"},
	{"install Plan.aside", "beneath.Open", "what a dry run reads"},
	{"sandbox openFiles", "beneath.Open", "the tree of a deployment, in which its view found no link"},
	{"sandbox setup.openData", "beneath.Open", "the folder of programs' data"},
	{"sandbox setup.x11", "beneath.Open", "the folder of the X server's cookies"},
	{"sandbox host.userFolders", "beneath.Open", "the home folder"},
	{"sandbox host.open", "beneath.Open", "the home folder, or a folder of it that a permission names"},
	{"sandbox host.mkdir", "beneath.Open", "the same"},

	// Programs that are started, and sockets.
	{"cmd/larch command.again", "exec.CommandContext", "larch itself"},
	{"cmd/larch command.serve", "net.Listen http.FileServerFS", "a port of TCP, and files of a repository that a transport gives"},
	{"transport/web newClient", "net.Dialer", "to hosts"},
	{"deploy/fuse fusermount", "exec.CommandContext", "fusermount3"},
	{"deploy/fuse Backend.start", "exec.Command", "larch itself"},
	{"deploy/fuse supervisor.start", "exec.Command", "larch itself"},
	{"deploy/overlay Backend.try", "exec.CommandContext", "larch itself"},
	{"sandbox findBubblewrap", "exec.CommandContext", "bwrap"},
	{"sandbox confined", "exec.CommandContext", "bwrap"},
	{"sandbox unconfined", "exec.CommandContext", "the application, if the user wants no sandbox"},

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
	{"internal/mount open", "unix.Fsopen", "a kind of file system"},
	{"internal/mount context.text", "unix.FsconfigSetString", "options, with folders by their handles"},
	{"internal/mount context.mount", "unix.Fsmount", "by handle"},
	{"internal/mount Attach", "unix.MoveMount", "from handle to handle"},
	{"internal/mount Clone", "unix.OpenTree", "by handle"},
	{"internal/mount Private", "unix.Mount", "the root, in a namespace of its own"},
	{"internal/mount Unmount", "unix.Unmount", "a mount point by its handle, in /proc/self/fd"},
	{"internal/mount Loop", "os.OpenFile", "/dev/loop-control and /dev/loopN"},
	{"internal/mount LoopAgain", "os.OpenFile", "/dev/loopN"},
	{"internal/mount Overlay.byPaths", "os.Open", "/proc/self/fd"},
	{"internal/mount Table", "os.Open", "/proc/self/mountinfo"},
	{"tree readXattrs", "unix.Llistxattr unix.Lgetxattr", "a name in an open folder, by way of /proc/self/fd, never followed"},
	{"sandbox findBubblewrap", "os.Stat", "the program bwrap"},
	{"sandbox bubblewrap.executable", "os.Open", "the program bwrap"},
	{"sandbox lookPath", "unix.Access", "PATH, by absolute folders alone"},
	{"sandbox closeOnExec", "os.ReadDir", "/proc/self/fd"},
	{"sandbox process.run", "os.ReadFile", "/proc/sys and the like: why there are no namespaces"},
	{"sandbox newHost", "filepath.EvalSymlinks", "where the home folder is"},
	{"sandbox realPath", "filepath.EvalSymlinks", "folders of the user's own, to compare them with what is hidden"},
	{"sandbox sessionFolder", "filepath.EvalSymlinks unix.Stat", "/run/user"},
	{"sandbox hostFolders", "os.Lstat os.ReadDir", "what there is at the root"},
	{"sandbox setup.hostPrograms", "os.Lstat", "the same"},
	{"sandbox setup.system", "os.Lstat", "what there is in /etc and /sys"},
	{"sandbox setup.hasProgram", "os.Lstat", "/usr/bin"},
	{"sandbox setup.start", "os.Stat", "the caller's working folder"},

	// By handle, with a name in that folder or an empty one.
	{"internal/beneath Dir.Device", "unix.Statx", "below the folder, as Fstatat"},
	{"deploy placeSymlink", "unix.Fchownat", "AT_EMPTY_PATH"},
	{"internal/mount Clone", "unix.MountSetattr", "AT_EMPTY_PATH"},
	{"internal/inode SetTime", "unix.UtimesNanoAt", "AT_EMPTY_PATH"},
}

// tools are no part of the product: suites for tests, and programs that measure and
// that start virtual machines.
var tools = []string{
	"deploy/deploytest", "transport/transporttest", "internal/btrfs/btrfstest", "internal/vm", "internal/roadtest", "internal/bench",
	"internal/backendbench", "internal/faults", "internal/powercut", "internal/loadbench", "internal/attack", "internal/measure", "internal/pagecache", "sandbox/testdata/probe",
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
		if !strings.Contains(entry.where, " ") {
			t.Errorf("%s: a reason is one function's", entry.where)
		}
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
			if entry.where == u.pkg+" "+u.function && slices.Contains(strings.Fields(entry.calls), u.call) {
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

// computes is what assembly here consists of: it computes, and neither calls nor enters the
// kernel.
var computes = regexp.MustCompile(`^((TEXT|DATA|GLOBL|MOV[A-Z]*|LEAQ|ADDQ|ANDL|DECQ|SHRL|XORL|TESTQ|CMPL|P[A-Z]+|SHA256[A-Z0-9]+) .*|RET|CPUID|J[A-Z]+ [a-z]+|[a-z]+:|[A-Z]+[0-9]?\([^)]*\))$`)

// checkAssembly finds what reads no Go would not show. C is not compiled without cgo, and
// is not here either.
func checkAssembly(t *testing.T, dir string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.[sSc]"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(source)) {
			code, _, _ := strings.Cut(line, "//")
			code, isMacro := strings.CutPrefix(strings.TrimRight(code, " \t\n\\"), "#define ")
			if isMacro || code == `#include "textflag.h"` {
				continue
			}
			for instruction := range strings.SplitSeq(code, ";") {
				instruction = strings.Join(strings.Fields(instruction), " ")
				if instruction != "" && !computes.MatchString(instruction) {
					t.Errorf("%s: %s: nobody looks at what it opens", name, instruction)
				}
			}
		}
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
		checkAssembly(t, dir)
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
	file, err := parser.ParseFile(token.NewFileSet(), pkg, source, parser.SkipObjectResolution|parser.ParseComments)
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
				return nil, fmt.Errorf("%s is imported as %s", from, as)
			}
			imported[as] = from
		} else if why := unwatched(from); why != "" {
			return nil, fmt.Errorf("%s: %s", from, why)
		}
	}
	for _, group := range file.Comments {
		for _, c := range group.List {
			if strings.HasPrefix(c.Text, "//go:linkname") {
				return nil, fmt.Errorf("%s: another package's function under a name of its own", c.Text)
			}
		}
	}
	for _, decl := range file.Decls {
		function := "var"
		if f, ok := decl.(*ast.FuncDecl); ok {
			function = name(f)
		}
		var ioctls []ast.Node
		ast.Inspect(decl, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok && isIoctl(call) {
				ioctls = append(ioctls, call.Fun)
			}
			if made, ok := n.(*ast.CompositeLit); ok {
				if s, ok := made.Type.(*ast.SelectorExpr); ok && s.Sel.Name == "Cmd" { // a program to start
					all = append(all, use{pkg, function, "exec.Cmd{}"})
				}
			}
			s, ok := n.(*ast.SelectorExpr)
			if !ok || slices.Contains(ioctls, n) {
				return true
			}
			x, ok := s.X.(*ast.Ident)
			from := imported[identifier(x, ok)]
			switch {
			case from != "" && takesName(from, s.Sel.Name):
				all = append(all, use{pkg, function, path.Base(from) + "." + s.Sel.Name})
			case from == "" && slices.Contains(methods, s.Sel.Name):
				all = append(all, use{pkg, function, "." + s.Sel.Name})
			}
			return true
		})
	}
	return all, nil
}

// methods take names, or make a folder the one that names begin in, whatever has them:
// those of os.File, of go-tuf's Metadata, and of archive/tar's Writer.
var methods = strings.Fields("Chdir Readdir Readdirnames FromFile ToFile AddFS")

// isIoctl tells whether a call is unix.Syscall(unix.SYS_IOCTL, ...), which is about an
// open file.
func isIoctl(call *ast.CallExpr) bool {
	f, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || f.Sel.Name != "Syscall" || len(call.Args) == 0 {
		return false
	}
	number, ok := call.Args[0].(*ast.SelectorExpr)
	return ok && number.Sel.Name == "SYS_IOCTL"
}

// unwatched says what is wrong with the import of a package whose uses are not looked at.
func unwatched(from string) string {
	own, ok := strings.CutPrefix(from, module)
	switch {
	case ok && (isTool(own) || slices.ContainsFunc(strings.Split(own, "/"), outside)):
		return "it is no part of the product, and nobody looks at what it opens"
	case ok, slices.Contains(nameless, from):
		return ""
	}
	return "does it take names of files? Say in paths_test.go"
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
	return from != "syscall" && from != "golang.org/x/sys/unix" || !constant.MatchString(name)
}

// TestPathUsesAreFound tries the search itself.
func TestPathUsesAreFound(t *testing.T) {
	found, err := usesIn("p", `package p
import (
	"os"
	sys "golang.org/x/sys/unix"
	"net"
	"os/exec"
	"path/filepath"
	"`+module+`internal/beneath"
)
var open = os.Open
type T struct{}
func (t *T) Do() { sys.Renameat2(0, "", 0, "", sys.RENAME_EXCHANGE); _ = sys.Fstat }
func do() { filepath.WalkDir(".", nil); _ = filepath.Join("a"); _ = os.Getenv("x"); var os T; _ = os }
func program(f *os.File) { exec.Command("rm").Run(); (&exec.Cmd{Path: "rm"}).Run(); f.Chdir(); net.Dial("unix", "x"); beneath.Open("x/y") }
func call() { sys.Syscall(sys.SYS_IOCTL, 0, 0, 0); sys.Syscall(sys.SYS_UNLINK, 0, 0, 0); do := sys.Syscall; do(0, 0, 0, 0); sys.Bind(0, &sys.SockaddrUnix{Name: "x"}) }
`)
	want := []use{
		{"p", "var", "os.Open"}, {"p", "T.Do", "unix.Renameat2"}, {"p", "do", "filepath.WalkDir"},
		{"p", "program", "exec.Command"}, {"p", "program", "exec.Cmd{}"}, {"p", "program", ".Chdir"}, {"p", "program", "net.Dial"}, {"p", "program", "beneath.Open"},
		{"p", "call", "unix.Syscall"}, {"p", "call", "unix.Syscall"}, {"p", "call", "unix.Bind"},
	}
	if err != nil || !slices.Equal(found, want) {
		t.Errorf("%v, %v", found, err)
	}
	for what, source := range map[string]string{
		"a package without its name": "import . \"os\"",
		"another way to open files":  "import \"io/ioutil\"",
		"a reader of files":          "import \"archive/zip\"",
		"another library":            "import \"github.com/hanwen/go-fuse/v2/fs\"",
		"another name of a function": "import _ \"unsafe\"\n//go:linkname open os.Open\nfunc open(string) (uintptr, error)",
		"C":                          "import \"C\"",
		"a tool":                     "import \"" + module + "internal/measure\"",
		"a folder that is left out":  "import \"" + module + "internal/bin\"",
		"a program of tests":         "import \"" + module + "sandbox/testdata/probe\"",
	} {
		if _, err := usesIn("p", "package p\n"+source+"\n"); err == nil {
			t.Errorf("%s was not noticed", what)
		}
	}
}
