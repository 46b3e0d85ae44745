package main

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Sizes in bytes: of what each of the two applications has for itself, and of the part of
// it that damage is done to.
const (
	ownSize    = 8 << 20
	needleSize = 64
	needleAt   = 5 << 20
)

// publishApps makes the runtime, and two applications that have nothing in common but it.
func (c *comparison) publishApps() error {
	log.Print("publishing two applications with a runtime")
	c.runtime = strings.Replace(c.tree, "app/org.example.Tree", "runtime/org.example.Toolchain", 1)
	if _, _, err := c.do("publish", c.path("repo"), c.runtime, c.path("tree-"+before), "--version", before, "--delta-budget", "0"); err != nil {
		return err
	}
	for n, name := range []string{"One", "Two"} {
		dir := c.path(name)
		if err := os.MkdirAll(filepath.Join(dir, "bin"), 0o755); err != nil {
			return err
		}
		if err := addSelf(dir); err != nil {
			return err
		}
		random := rand.NewChaCha8([32]byte{10, byte(n)})
		if err := writeRandom(filepath.Join(dir, "own"), random, ownSize); err != nil {
			return err
		}
		// The program itself is another one in each.
		if err := appendTo(filepath.Join(dir, "bin/bench"), name); err != nil {
			return err
		}
		c.apps[n] = strings.Replace(c.tree, "Tree", name, 1)
		if _, _, err := c.do("publish", c.path("repo"), c.apps[n], dir, "--command", "bench", "--requires", c.runtime, "--delta-budget", "0"); err != nil {
			return err
		}
	}
	return nil
}

func appendTo(name, text string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// measureApps takes down what the two applications take, installed and read one after the
// other with their runtime.
func (c *comparison) measureApps(p *place, row *footprint) error {
	for n, app := range c.apps {
		err := c.adds(p, row, &row.apps[n], func() error {
			_, _, err := c.larch(p, "install", app, "--backend", row.backend, "--yes")
			return err
		})
		if err != nil {
			return err
		}
	}
	if err := dropCaches(); err != nil {
		return err
	}
	for n, app := range c.apps {
		err := grows(p.resident, &row.apps[n].memory, func() error {
			_, _, err := c.larch(p, "run", app, "--", "inside", "all", "/app", "/usr")
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// remainder is what is left of a program's files.
type remainder struct{ before, after int }

func (r remainder) String() string {
	if r.before == r.after {
		return "keeps all its files; deleted by the next `larch gc` after it has ended"
	}
	return fmt.Sprintf("keeps %d of %d files", r.after, r.before)
}

// useAndRemove removes the first application while it runs, and its runtime, and lets it
// read all of both again. Nobody can start it any more, and when it has ended both go.
func (c *comparison) useAndRemove(p *place, row *footprint) error {
	log.Print("removing in use")
	cmd := exec.Command(c.bench.larch, "run", c.apps[0], "--", "inside", "hold", "/app", "/usr")
	cmd.Env, cmd.Stderr = append(os.Environ(), c.env(p)...), os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	answers := bufio.NewReader(out)
	if row.use.before, err = number(answers); err == nil {
		err = c.removeAll(p)
	}
	if err == nil {
		if _, _, started := c.larch(p, "run", c.apps[0], "--", "inside", "start", "/"); started == nil {
			err = errors.New("what was removed was started")
		}
	}
	in.Close()
	var readErr error
	row.use.after, readErr = number(answers)
	if err := errors.Join(err, readErr, cmd.Wait()); err != nil {
		return err
	}
	if _, _, err := c.larch(p, "gc", "--keep", "0"); err != nil {
		return err
	}
	left, err := os.ReadDir(filepath.Join(p.root, "deployments"))
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("%d deployments are left after the last user", len(left))
	}
	return err
}

func number(r *bufio.Reader) (int, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(line))
}

// removeAll uninstalls all applications, and collects.
func (c *comparison) removeAll(p *place) error {
	_, out, err := c.larch(p, "list")
	if err != nil {
		return err
	}
	for line := range strings.Lines(out) {
		if ref := strings.Fields(line)[0]; strings.HasPrefix(ref, "app/") {
			if _, _, err := c.larch(p, "uninstall", ref, "--yes"); err != nil {
				return err
			}
		}
	}
	_, _, err = c.larch(p, "gc", "--keep", "0")
	return err
}

// damage flips a bit below the file system in a content of an installed application, and
// takes down what its program sees, and what verifying does.
func (c *comparison) damage(p *place, row *footprint) error {
	log.Print("damaging it")
	if _, _, err := c.larch(p, "install", c.apps[1], "--backend", row.backend, "--yes"); err != nil {
		return err
	}
	own, err := os.ReadFile(filepath.Join(c.path("Two"), "own"))
	if err != nil {
		return err
	}
	if err := p.unmount(); err != nil {
		return err
	}
	if places, err := p.flip(own[needleAt:][:needleSize]); err != nil || places == 0 { // what was removed before is there, too
		return fmt.Errorf("%d places have the content: %w", places, err)
	}
	if err := p.mount(); err != nil {
		return err
	}
	want := fmt.Sprintf("%x\n", sha256.Sum256(own))
	row.read = c.look(p, want)
	_, _, verified := c.larch(p, "verify")
	row.verified = code(verified) == 8
	if _, _, err := c.larch(p, "verify", "--repair"); err == nil {
		row.mended = c.look(p, want) == right
	}
	return c.removeAll(p)
}

// What a program sees of a damaged content.
const (
	right   = "the right bytes"
	wrong   = "wrong bytes"
	refused = "an error when it is read"
)

func (c *comparison) look(p *place, want string) string {
	_, out, err := c.larch(p, "run", c.apps[1], "--", "inside", "sum", "/app/own")
	switch {
	case err != nil:
		return refused
	case out != want:
		return wrong
	}
	return right
}

// code is what a command ended with.
func code(err error) int {
	var ended *exec.ExitError
	if errors.As(err, &ended) {
		return ended.ExitCode()
	}
	return 0
}

// nobody is an ordinary user.
const nobody = 65534

// withoutRoot has an ordinary user install, run and remove an application, in a folder of
// the same file system.
func (c *comparison) withoutRoot(p *place, row *footprint) error {
	log.Print("trying it without root")
	dir := filepath.Join(p.at, "user")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	if err := os.Chown(dir, nobody, nobody); err != nil {
		return err
	}
	row.user = "works"
	for _, args := range [][]string{
		{"remote", "add", "here", c.path("repo"), "--root-key", c.fingerprint},
		{"install", c.apps[0], "--backend", row.backend, "--yes"},
		{"run", "--no-sandbox", c.apps[0], "--", "inside", "start", "/"},
		{"uninstall", c.apps[0], "--yes"},
		{"gc", "--keep", "0"},
	} {
		cmd := exec.Command(c.bench.larch, args...)
		cmd.Env = append(os.Environ(), "HOME="+dir, "LARCH_ROOT="+filepath.Join(dir, "machine"))
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		if said, err := cmd.CombinedOutput(); err != nil {
			if args[0] != "install" {
				return fmt.Errorf("larch %q as an ordinary user: %w: %s", args, err, said)
			}
			log.Printf("%s", said)
			row.user = "no"
			break
		}
	}
	return nil
}

// sum prints what tells contents apart.
func sum(w io.Writer, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%x\n", h.Sum(nil))
	return err
}

// hold reads all files below some folders and says how many there are, now and once more
// when its input ends.
func hold(in io.Reader, out io.Writer, dirs []string) error {
	for range 2 {
		files := 0
		for _, dir := range dirs {
			n, err := readAll(dir)
			if err != nil {
				return err
			}
			files += n
		}
		if _, err := fmt.Fprintln(out, files); err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, in); err != nil {
			return err
		}
	}
	return nil
}
