package install

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/release"
)

const (
	stateName   = "state.json"
	copyName    = "state.copy" // of the same content: a bad block shall not cost the list
	exportsName = "exports"
	refsName    = "refs"
	asideName   = scratch + "/generation"
	maxState    = 64 << 20 // bytes: about 100,000 refs
)

// Generation is what was installed after one transaction. It never changes.
type Generation struct {
	Changes   []Change    `json:"changes"`   // what the transaction did
	Created   time.Time   `json:"created"`   // UTC, whole seconds
	Installed []Installed `json:"installed"` // sorted by ref
	Number    int64       `json:"number"`    // from 1; 0 is the state before the first transaction
	Parent    int64       `json:"parent"`    // the generation that undo goes back to
	Restored  int64       `json:"restored"`  // of an undo: the generation whose state this is again
	Undone    int64       `json:"undone"`    // of an undo: the generation that it undid; else 0
	Verb      Verb        `json:"verb"`
}

// Verb is what made a generation.
type Verb string

// The verbs.
const (
	Install   Verb = "install"
	Update    Verb = "update"
	Uninstall Verb = "uninstall"
	Undo      Verb = "undo"
)

// Change is what a transaction did to one ref. The version before is "" for what
// was new, the version after is "" for what was removed.
type Change struct {
	Before string      `json:"before"`
	Now    string      `json:"now"`
	Ref    release.Ref `json:"ref"`
}

// Installed is one release that is installed.
type Installed struct {
	Automatic bool          `json:"automatic"` // it came, and goes, with what requires it
	Backend   string        `json:"backend"`
	Exports   []Export      `json:"exports"` // sorted by name
	Ref       release.Ref   `json:"ref"`
	Release   digest.Digest `json:"release"` // of the release document
	Remote    string        `json:"remote"`
	Requires  []release.Ref `json:"requires"` // refs that must be installed with it
	RootKey   string        `json:"root_key"` // fingerprint by which the remote was trusted
	Version   string        `json:"version"`
}

// Export is one file that the desktop sees.
type Export struct {
	Digest digest.Digest `json:"digest"`
	Name   string        `json:"name"` // below exports/: "bin/org.example.Editor"
}

// deployment names the form on disk.
func (in Installed) deployment() deploy.Deployment {
	return deploy.Deployment{Name: in.Release.String(), Backend: in.Backend}
}

// Find gives what is installed of a ref, or nil.
func (g *Generation) Find(ref release.Ref) *Installed {
	for n := range g.Installed {
		if g.Installed[n].Ref == ref {
			return &g.Installed[n]
		}
	}
	return nil
}

// Resolve finds the installed ref that a full or short name stands for:
// ErrNotInstalled if there is none, release.ErrAmbiguous if there are several.
func (g *Generation) Resolve(short string) (*Installed, error) {
	refs := make([]release.Ref, len(g.Installed))
	for n, in := range g.Installed {
		refs[n] = in.Ref
	}
	ref, err := release.Resolve(refs, short)
	if errors.Is(err, release.ErrUnknownRef) {
		return nil, fmt.Errorf("%.200q is %w", short, ErrNotInstalled)
	}
	if err != nil {
		return nil, err
	}
	return g.Find(ref), nil
}

// encode gives the form of state.json: lists without elements are empty, not null.
func (g Generation) encode() ([]byte, error) {
	g.Changes = append([]Change{}, g.Changes...)
	g.Installed = append([]Installed{}, g.Installed...)
	for n := range g.Installed {
		in := &g.Installed[n]
		in.Exports = append([]Export{}, in.Exports...)
		in.Requires = append([]release.Ref{}, in.Requires...)
	}
	return encodeSealed(g)
}

// decodeGeneration reads state.json.
func decodeGeneration(data []byte) (*Generation, error) {
	g, err := decodeSealed[Generation](data)
	if err != nil {
		return nil, err
	}
	if err := g.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return &g, nil
}

func (g *Generation) check() error {
	for _, n := range []int64{g.Parent, g.Restored, g.Undone} {
		if n < 0 || n >= g.Number {
			return fmt.Errorf("generation %d after %d", g.Number, n)
		}
	}
	if !slices.Contains([]Verb{Install, Update, Uninstall, Undo}, g.Verb) || (g.Verb == Undo) != (g.Undone > 0) {
		return fmt.Errorf("verb %.40q", g.Verb)
	}
	if g.Changes == nil || g.Installed == nil {
		return errors.New("a list is missing")
	}
	for n, in := range g.Installed {
		switch {
		case in.Exports == nil || in.Requires == nil:
			return fmt.Errorf("%s: a list is missing", in.Ref)
		case n > 0 && in.Ref.String() <= g.Installed[n-1].Ref.String():
			return fmt.Errorf("refs out of order at %s", in.Ref)
		case in.Release.IsZero():
			return fmt.Errorf("%s: no release", in.Ref)
		case checkName(in.Backend) != nil || checkName(in.Remote) != nil || release.CheckVersion(in.Version) != nil:
			return fmt.Errorf("%s: backend %.40q, remote %.40q, version %.40q", in.Ref, in.Backend, in.Remote, in.Version)
		}
		for m, e := range in.Exports {
			if !fs.ValidPath(e.Name) || e.Name == "." || m > 0 && e.Name <= in.Exports[m-1].Name {
				return fmt.Errorf("%s: export %.80q", in.Ref, e.Name)
			}
		}
	}
	return nil
}

// checkName keeps names of remotes and backends safe as file names.
func checkName(name string) error {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"
	if name == "" || len(name) > 64 || name[0] == '-' || name[0] == '_' || strings.Trim(name, allowed) != "" {
		return fmt.Errorf("%w: name %.80q: want 1 to 64 letters, digits, _ and -, a letter or digit first", ErrArgument, name)
	}
	return nil
}

func generationName(n int64) string { return generations + "/" + strconv.FormatInt(n, 10) }

// parseNumber is the inverse of generationName's last part.
func parseNumber(s string) (int64, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && n > 0 && strconv.FormatInt(n, 10) == s
}

// currentNumber reads the link current: 0 if nothing was ever installed.
func (i *Installation) currentNumber() (int64, error) {
	target, err := i.root.Readlink(currentName)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	name, ok := strings.CutPrefix(target, generations+"/")
	n, number := parseNumber(name)
	if !ok || !number {
		return 0, fmt.Errorf("%w: %s leads to %.80q", ErrFormat, currentName, target)
	}
	return n, nil
}

// numbers lists the generations that have a folder, in order.
func (i *Installation) numbers() ([]int64, error) {
	names, err := i.root.ReadDir(generations)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var all []int64
	for _, name := range names {
		if n, ok := parseNumber(name); ok {
			all = append(all, n)
		}
	}
	slices.Sort(all)
	return all, err
}

// read gives one generation, from its second copy if the first is damaged; that
// before the first one has no folder.
func (i *Installation) read(n int64) (*Generation, error) {
	if n == 0 {
		return &Generation{}, nil
	}
	g, err := i.readState(n, stateName)
	if err != nil {
		if second, secondErr := i.readState(n, copyName); secondErr == nil {
			return second, nil
		}
		return nil, fmt.Errorf("reading generation %d: %w", n, err)
	}
	return g, nil
}

// readState reads one of the two copies of a generation's list.
func (i *Installation) readState(n int64, name string) (*Generation, error) {
	name = path.Join(generationName(n), name)
	data, err := i.root.ReadFile(name, maxState)
	if err != nil {
		return nil, err
	}
	g, err := decodeGeneration(data)
	if err == nil && g.Number != n {
		err = fmt.Errorf("%w: it is that of generation %d", ErrFormat, g.Number)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return g, nil
}

// Current gives what is installed now. It takes no lock: what it gives was
// current at one moment of the call.
func (i *Installation) Current() (*Generation, error) {
	for {
		n, err := i.currentNumber()
		if err != nil {
			return nil, err
		}
		g, err := i.read(n)
		if errors.Is(err, fs.ErrNotExist) {
			if now, changed := i.currentNumber(); changed == nil && now != n { // collected meanwhile
				continue
			}
		}
		return g, err
	}
}
