package deploy

import (
	"context"
	"errors"
	"iter"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/tree"
)

// ErrInUse is matched when a deployment cannot be removed or rebuilt because
// something holds it.
var ErrInUse = errors.New("the deployment is in use")

// ErrDamaged is matched when a deployment is not used because it is not what was
// made; making it again mends it.
var ErrDamaged = errors.New("the deployment is damaged")

// ErrUnmounted is matched when a deployment is not used because it is not mounted, and
// this user cannot mount it.
var ErrUnmounted = errors.New("it is not mounted, and only who owns the installation can mount it")

// Backend makes and keeps deployments of one form. Its methods may be called
// concurrently for different names; whoever calls one that changes something
// holds the installation's lock.
type Backend interface {
	// Name is one word: "hardlink".
	Name() string
	// Probe tells whether this machine can do it, by trying, and what it gives.
	// It leaves nothing behind.
	Probe(ctx context.Context, site Site) Support
	// Make makes a deployment; on return it is complete and survives power loss,
	// on an error there is none, or the one that was there before. If there is one
	// of that name already, whoever made it, Make finds out whether it is right and
	// makes it anew if it is not: ErrInUse if that one is held.
	Make(ctx context.Context, site Site, spec Spec) error
	// Open gives the way to use a deployment, and holds it; fs.ErrNotExist if there
	// is none. It needs no lock, nor permission to write, unless Support.Root says
	// otherwise.
	Open(ctx context.Context, site Site, name string) (*View, error)
	// Remove takes a deployment away: afterwards Open does not find it, and its
	// space is given back. ErrInUse, and nothing changed, while anybody holds it;
	// no error if there is none.
	Remove(ctx context.Context, site Site, name string) error
}

// Forgetter is a backend whose deployments the kernel remembers contents of that have
// been replaced since.
type Forgetter interface {
	// Forget has the kernel look anew when the deployment is next opened: ErrInUse while
	// anybody holds it.
	Forget(ctx context.Context, site Site, name string) error
}

// Site is where deployments are and what they are made of.
type Site struct {
	Root    *beneath.Dir // the installation's root
	Content Content
}

// Content is the contents of trees on this machine. All are verified: an entry
// whose content is damaged is a digest.ErrMismatch, one that is not here
// fs.ErrNotExist. Entries are regular files of more than tree.InlineMax bytes;
// other content is in the tree.
type Content interface {
	// Open opens an entry's content for reading.
	Open(e *tree.Entry) (*os.File, error)
	// Link gives the file that holds the content one more name: it is owned by the
	// installation, of mode 0444 or, where e has a run bit, 0555, its time is 0.
	// unix.EMLINK when it has as many names as it can.
	Link(e *tree.Entry, to *beneath.Dir, name string) error
	// Locate says where that file is, as a path below the site's root:
	// "objects/ab/cdef...".
	Locate(e *tree.Entry) (string, error)
	// Tree gives the entries of the release of this name, as it was signed.
	Tree(name string) iter.Seq2[*tree.Entry, error]
	// Image gives the digest of the release's composefs image, as it was signed; zero if
	// the release does not say.
	Image(name string) (digest.Digest, error)
}

// Spec is what to make.
type Spec struct {
	Name     string                               // the release's digest; any file name without a dot
	Tree     func() iter.Seq2[*tree.Entry, error] // may be called more than once
	Info     tree.Info                            // of the tree
	Previous string                               // a deployment of this backend that has much in common with it; "" if none
	// Present tells that whoever holds the installation's lock has looked for all contents
	// already, and they are there.
	Present bool
}

// Guarantee says when damage to the content of a deployment is noticed.
type Guarantee uint8

// The guarantees, from the weakest.
const (
	Stored      Guarantee = iota + 1 // content was verified when it was stored; later damage is found by a check
	Checksummed                      // damage on the disk is an error when it is read
	Signed                           // all that is read is checked against what was signed
)

// String says it for people.
func (g Guarantee) String() string {
	switch g {
	case Stored:
		return "when stored"
	case Checksummed:
		return "checksums at each read"
	case Signed:
		return "against the signature at each read"
	}
	return "never"
}

// Support is what a backend can do on this machine.
type Support struct {
	Usable      bool
	Why         string // why it is not usable, and what would help; "" if it is
	Err         error  // what trying it met, if that is why
	Note        string // what would make it better; "" if nothing would
	Verifies    Guarantee
	SharesCache bool // equal content of several deployments is in memory once
	Root        bool // needs privileges
}

// View is the way to use a deployment. Close it after use.
type View struct {
	// Path is the folder that holds the tree, for programs that are started.
	Path string
	// Prepare, unless nil, changes a command so that it runs where the tree is at
	// Path: that is then nowhere else, in a mount namespace of the command's own, where
	// Open gives the view without Prepare. It may be applied for several views.
	Prepare func(context.Context, *exec.Cmd) error
	// Compare, unless nil, finds what is wrong in the folder of the deployment where Path
	// cannot show it; contents excepted that are the store's.
	Compare func(context.Context) iter.Seq2[Difference, error]
	// Hold is the deployment's lock, held shared; a child process that inherits it
	// holds the deployment for as long as it lives.
	Hold *os.File
	// Release, unless nil, undoes what Open did.
	Release func() error

	root *beneath.Dir // of the site
	name string       // of Path in it
}

// NewView gives a view of the folder of this name below the site's root.
func NewView(site Site, name string, hold *os.File) *View {
	return &View{Path: filepath.Join(site.Root.Path(), name), Hold: hold, root: site.Root, name: name}
}

// Open opens the tree where it can be seen: the folder that was made, and never one that
// a link in its place leads to.
func (v *View) Open() (*beneath.Dir, error) { return v.root.OpenDir(v.name) }

// Close ends the use of the deployment.
func (v *View) Close() error {
	var err error
	if v.Release != nil {
		err = v.Release()
	}
	return errors.Join(err, v.Hold.Close())
}
