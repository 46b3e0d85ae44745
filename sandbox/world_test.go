package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/larch-project/larch/release"
)

// TestMain is also the program that runs sandboxes for the tests: as another user,
// with files open that it should not pass on, or to be killed.
func TestMain(m *testing.M) {
	if attempt := os.Getenv("SANDBOX_ATTEMPT"); attempt != "" {
		os.Exit(helper(attempt))
	}
	code := m.Run()
	if public != "" {
		os.RemoveAll(public)
	}
	os.Exit(code)
}

// public is a folder of programs that every user can execute, made when needed.
var public string

// attempt is one use of Run.
type attempt struct {
	Metadata   string
	App        App
	Args       []string
	Environ    []string
	Dir, Bwrap string
	Hidden     []string
	Unconfined bool
	Result     string // file for the outcome
	KillAtEOF  bool   // cancel when standard input ends
}

// outcome is what came of it.
type outcome struct {
	Code  int
	Err   string
	Kinds []string // the sentinel errors that match
	Notes []string
	Out   string `json:"-"`
}

var sentinels = map[string]error{
	"ErrNoBubblewrap": ErrNoBubblewrap, "ErrUnusable": ErrUnusable, "ErrRuntime": ErrRuntime,
	"ErrNoCommand": ErrNoCommand, "ErrPolicy": ErrPolicy,
}

// helper runs the attempt, prints what the program prints, and writes the outcome.
func helper(text string) int {
	var a attempt
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		panic(err)
	}
	var o outcome
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if a.KillAtEOF {
		go func() { io.Copy(io.Discard, os.Stdin); cancel() }()
	}
	var err error
	if a.App.Metadata, err = release.ParseMetadata([]byte(a.Metadata)); err == nil {
		o.Code, err = Run(ctx, a.App, a.Args, Options{
			Stdout: os.Stdout, Stderr: os.Stderr,
			Environ: a.Environ, Dir: a.Dir, Bwrap: a.Bwrap, Hidden: a.Hidden, Unconfined: a.Unconfined,
			Note: func(text string) { o.Notes = append(o.Notes, text) },
		})
	}
	if err != nil {
		o.Err = err.Error()
		for name, sentinel := range sentinels {
			if errors.Is(err, sentinel) {
				o.Kinds = append(o.Kinds, name)
			}
		}
	}
	data, _ := json.Marshal(o)
	if err := os.WriteFile(a.Result, data, 0o600); err != nil {
		panic(err)
	}
	return 0
}

// world is a machine for one test: a user with a home, and an application.
type world struct {
	t        *testing.T
	dir      string
	uid      int
	home     string
	files    string // of the application
	metadata string // lines after the group Application
	runtime  string // "" for host
	attempt  attempt
	extra    []*os.File // open in the process that runs the sandbox
}

// ordinary is the user as whom the tests run besides root; it has no name.
const ordinary = 54321

// everyUser runs a test as root and as an ordinary user, or just as who we are.
func everyUser(t *testing.T, test func(*testing.T, *world)) {
	for _, uid := range []int{0, ordinary} {
		oneUser(t, uid, test)
	}
}

// oneUser runs a test as a user.
func oneUser(t *testing.T, uid int, test func(*testing.T, *world)) {
	needBubblewrap(t)
	name := "user"
	if uid == 0 {
		name = "root"
	}
	t.Run(name, func(t *testing.T) {
		if os.Getuid() != 0 && uid == 0 {
			t.Skip("needs root")
		}
		if os.Getuid() != 0 {
			uid = os.Getuid()
		}
		test(t, newWorld(t, uid))
	})
}

func needBubblewrap(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("bwrap"); err != nil {
		t.Skip("needs the program bwrap (package bubblewrap)")
	}
}

func newWorld(t *testing.T, uid int) *world {
	w := &world{t: t, dir: t.TempDir(), uid: uid}
	w.open(filepath.Dir(w.dir), w.dir)
	w.home, w.files = w.mkdir("home"), w.mkdir("files")
	w.mkdir("files/bin")
	w.attempt.App = App{
		Ref:   release.Ref{Kind: release.App, ID: "org.example.Probe", Arch: release.HostArch(), Channel: "stable"},
		Files: w.files, Command: "sh",
	}
	w.attempt.Environ = []string{"HOME=" + w.home, "PATH=" + os.Getenv("PATH"), "LANG=C"}
	return w
}

// open lets others into folders.
func (w *world) open(dirs ...string) {
	for _, dir := range dirs {
		if err := os.Chmod(dir, 0o755); err != nil {
			w.t.Fatal(err)
		}
	}
}

// mkdir makes a folder of the user's.
func (w *world) mkdir(name string) string {
	w.t.Helper()
	full := filepath.Join(w.dir, name)
	for dir := full; dir != w.dir; dir = filepath.Dir(dir) {
		if _, err := os.Lstat(dir); err == nil {
			continue
		}
		defer os.Chown(dir, w.uid, w.uid)
	}
	if err := os.MkdirAll(full, 0o755); err != nil {
		w.t.Fatal(err)
	}
	return full
}

// write makes a file of the user's.
func (w *world) write(name, text string, perm os.FileMode) string {
	w.t.Helper()
	full := filepath.Join(w.mkdir(filepath.Dir(name)), filepath.Base(name))
	if err := os.WriteFile(full, []byte(text), perm); err != nil {
		w.t.Fatal(err)
	}
	if err := errors.Join(os.Chmod(full, perm), os.Chown(full, w.uid, w.uid)); err != nil {
		w.t.Fatal(err)
	}
	return full
}

func (w *world) symlink(target, name string) {
	w.t.Helper()
	full := filepath.Join(w.mkdir(filepath.Dir(name)), filepath.Base(name))
	if err := errors.Join(os.Symlink(target, full), os.Lchown(full, w.uid, w.uid)); err != nil {
		w.t.Fatal(err)
	}
}

// run runs the application's command.
func (w *world) run(args ...string) outcome {
	w.t.Helper()
	cmd, out := w.command(args...), new(strings.Builder)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		w.t.Fatalf("%v\n%s", err, out)
	}
	return w.outcome(out.String())
}

// outcome reads what the helper wrote.
func (w *world) outcome(out string) outcome {
	w.t.Helper()
	o := outcome{Out: out}
	data, err := os.ReadFile(w.attempt.Result)
	if err == nil {
		err = json.Unmarshal(data, &o)
	}
	if err != nil {
		w.t.Fatal(err, out)
	}
	return o
}

// sh runs a shell script in the sandbox, which must succeed, and gives its output.
func (w *world) sh(script string) string {
	w.t.Helper()
	o := w.run("-c", script)
	if o.Err != "" || o.Code != 0 {
		w.t.Fatalf("%q: code %d, error %q\n%s", script, o.Code, o.Err, o.Out)
	}
	return o.Out
}

// command prepares a helper process that runs the sandbox as the world's user.
func (w *world) command(args ...string) *exec.Cmd {
	w.t.Helper()
	a := w.attempt
	a.Args, a.Result = args, filepath.Join(w.mkdir("results"), "outcome")
	w.attempt.Result = a.Result
	os.Remove(a.Result)
	runtime := w.runtime
	if runtime == "" {
		runtime = release.HostRuntime
	}
	a.Metadata = "[Application]\nname=org.example.Probe\nruntime=" + runtime + "\n" + w.metadata
	text, err := json.Marshal(a)
	if err != nil {
		w.t.Fatal(err)
	}
	cmd := exec.Command(self())
	cmd.Env = append(os.Environ(), "SANDBOX_ATTEMPT="+string(text), "GORACE=atexit_sleep_ms=0")
	cmd.ExtraFiles = w.extra
	cmd.Dir = "/"
	if w.uid != os.Getuid() {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(w.uid), Gid: uint32(w.uid)}}
	}
	return cmd
}

// self is a copy of the test program that every user can execute.
var self = sync.OnceValue(func() string { return publicCopy("self", "/proc/self/exe") })

// probe is the program of testdata/probe.
var probe = sync.OnceValue(func() string {
	dir, err := os.MkdirTemp("", "larch-probe-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	build := exec.Command("go", "build", "-o", dir+"/probe", "./testdata/probe")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		panic(fmt.Sprintf("building the probe: %v\n%s", err, out))
	}
	return publicCopy("probe", dir+"/probe")
})

// publicCopy copies a program to where every user can execute it.
func publicCopy(name, from string) string {
	data, err := os.ReadFile(from)
	if err == nil && public == "" {
		public, err = os.MkdirTemp("", "larch-test-")
	}
	if err == nil {
		err = os.Chmod(public, 0o755)
	}
	full := filepath.Join(public, name)
	if err == nil {
		err = os.WriteFile(full, data, 0o755)
	}
	if err != nil {
		panic(err)
	}
	return full
}

// withProbe makes the probe the application's command.
func (w *world) withProbe() *world {
	w.t.Helper()
	data, err := os.ReadFile(probe())
	if err != nil {
		w.t.Fatal(err)
	}
	w.write("files/bin/probe", string(data), 0o755)
	w.attempt.App.Command = "probe"
	return w
}

// expect fails the test unless the outcome is an error of this kind with this text.
func (o outcome) expect(t *testing.T, kind, text string) {
	t.Helper()
	if strings.Join(o.Kinds, " ") != kind || !strings.Contains(o.Err, text) {
		t.Errorf("error %q of kind %q, want kind %q and text %q\n%s", o.Err, o.Kinds, kind, text, o.Out)
	}
}
