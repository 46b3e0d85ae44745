package mount

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Overlay is a tree of names over folders of contents: overlayfs with data-only
// lower layers.
type Overlay struct {
	Source string   // what lists of mounts show as its device
	Names  *os.File // a folder, or an unattached mount
	// Contents are folders in which redirections are looked up, in this order; at least
	// one.
	Contents []*os.File
	// User has the marks of stubs be read from user.overlay.*, which needs no
	// privileges. Otherwise they are trusted.overlay.*.
	User bool
	// Verity refuses contents that do not measure what the names say, where the kernel can
	// (Linux 6.6).
	Verity bool
	// Folder, if Names is an unattached mount, is an empty folder in which kernels
	// before 6.15 want to see it for a moment.
	Folder *os.File
}

// Mount makes it, unattached.
func (o Overlay) Mount() (*os.File, error) {
	mounted, err := o.byFiles()
	if err == nil || o.User {
		return mounted, err
	}
	older, olderErr := o.byPaths()
	if olderErr != nil {
		return nil, errors.Join(err, olderErr)
	}
	return older, nil
}

// byFiles gives the layers as open files: Linux 6.15.
func (o Overlay) byFiles() (*os.File, error) {
	c, err := o.begin()
	if err != nil {
		return nil, err
	}
	defer c.close()
	if err := c.file("lowerdir+", o.Names); err != nil {
		return nil, err
	}
	for _, dir := range o.Contents {
		if err := c.file("datadir+", dir); err != nil {
			return nil, err
		}
	}
	return c.mount(attributes)
}

func (o Overlay) begin() (*context, error) {
	c, err := open("overlay")
	if err != nil {
		return nil, err
	}
	if err := o.options(c); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (o Overlay) options(c *context) error {
	if err := c.text("source", o.Source); err != nil {
		return err
	}
	if o.User {
		if err := c.flag("userxattr"); err != nil {
			return err
		}
	} else {
		for _, option := range []string{"metacopy", "redirect_dir"} {
			if err := c.text(option, "on"); err != nil {
				return err
			}
		}
	}
	if o.Verity {
		return c.text("verity", "require")
	}
	return nil
}

// byPaths gives the layers as paths, for older kernels: names and contents apart
// (Linux 6.5), or all as ordinary layers, which is right because the image hides the
// contents' folders. The paths are those of open files: a parameter has at most 255
// bytes.
func (o Overlay) byPaths() (_ *os.File, err error) {
	names := o.Names
	if o.Folder != nil {
		at := o.Folder.Name()
		if err := Attach(o.Names, o.Folder); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, Detach(at)) }()
		if names, err = os.Open(at); err != nil {
			return nil, err
		}
		defer names.Close()
	}
	layers := []string{openPath(names)}
	for _, dir := range o.Contents {
		layers = append(layers, openPath(dir))
	}
	mounted, err := o.lowerdir(strings.Join(layers, "::"))
	if err == nil {
		return mounted, nil
	}
	o.Verity = false // kernels without data-only layers have no checks either
	older, olderErr := o.lowerdir(strings.Join(layers, ":"))
	if olderErr != nil {
		return nil, fmt.Errorf("as paths: %w; %w", err, olderErr)
	}
	return older, nil
}

func (o Overlay) lowerdir(layers string) (*os.File, error) {
	c, err := o.begin()
	if err != nil {
		return nil, err
	}
	defer c.close()
	if err := c.text("lowerdir", layers); err != nil {
		return nil, err
	}
	return c.mount(attributes)
}

// openPath is a path to an open file, for this process.
func openPath(f *os.File) string { return "/proc/self/fd/" + strconv.Itoa(int(f.Fd())) }
