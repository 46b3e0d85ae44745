package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/install"
	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/internal/durable"
	"github.com/larch-project/larch/internal/erofs"
	"github.com/larch-project/larch/tree"
)

// exportFlags are the options of export.
type exportFlags struct {
	format, dump, output   string
	minVersion, maxVersion int

	parent, repo, name string // of a stream
	proto              uint32
}

// exported is the document of export.
type exported struct {
	Digest digest.Digest `json:"digest"` // fs-verity, of the file
	Bytes  int64         `json:"bytes"`
	Output string        `json:"output"`
}

func (c *command) exportVerb() *cobra.Command {
	var flags exportFlags
	cmd := &cobra.Command{
		Use:   "export --format composefs|btrfs-send (REF | --from-dump DUMP) --output FILE",
		Short: "Write a release in another form",
		Long: `composefs: writes the composefs image of what is installed, or of a composefs dump ("-" is
standard input), bit for bit as mkcomposefs does, and prints its fs-verity digest as the
first word. An installed release's image has format version 1 and the digest that the
release states; that of a dump has the version that the options say, as mkcomposefs
understands them: 0, or 1 where there are whiteouts, unless one of them is given, which
makes the other 0.

btrfs-send: writes the stream that makes a release a read-only subvolume, for "btrfs
receive"; with --parent only what changed since another release, whose stream was
received before. The releases are installed, now or in the history, or with --repo in
a repository: REF or REF@VERSION. It needs no btrfs here and no privileges.`,
		Example: "  larch export --format composefs editor --output editor.cfs\n  larch export --format composefs --from-dump tree.dump --min-version 1 --output tree.cfs\n  larch export --format btrfs-send editor --output - | ssh server btrfs receive /srv\n  larch export --format btrfs-send --repo ./repo editor@1.1 --parent editor@1.0 --output update.stream",
		Args:    args(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := flags.check(cmd, args); err != nil {
				return err
			}
			if flags.format == "btrfs-send" {
				return c.exportStream(cmd.Context(), args[0], flags)
			}
			img, err := c.image(cmd, args, flags)
			if err != nil {
				return err
			}
			done, err := c.writeImage(img, flags.output)
			if err != nil {
				return err
			}
			if flags.output == "-" {
				fmt.Fprintln(c.err, done.Digest)
				return nil
			}
			return c.report(done, func(w io.Writer) { fmt.Fprintf(w, "%s %s\n", done.Digest, safe(done.Output)) })
		},
	}
	cmd.Flags().StringVar(&flags.format, "format", "", "composefs or btrfs-send")
	cmd.Flags().StringVar(&flags.dump, "from-dump", "", "a composefs dump instead of what is installed")
	cmd.Flags().StringVarP(&flags.output, "output", "o", "", "file to write; - is standard output")
	cmd.Flags().IntVar(&flags.minVersion, "min-version", 0, "of a dump's image: the least format version")
	cmd.Flags().IntVar(&flags.maxVersion, "max-version", 1, "of a dump's image: the greatest format version that may be chosen")
	cmd.Flags().StringVar(&flags.parent, "parent", "", "of a stream: the release that the receiver has, REF or REF@VERSION")
	cmd.Flags().StringVar(&flags.repo, "repo", "", "of a stream: take the releases from this repository instead of the installation")
	cmd.Flags().StringVar(&flags.name, "name", "", "of a stream: what the subvolume is called (default: NAME-VERSION)")
	cmd.Flags().Uint32Var(&flags.proto, "proto", 1, "of a stream: version of the format, 1 or 2")
	return cmd
}

func (f *exportFlags) check(cmd *cobra.Command, args []string) error {
	least, most := cmd.Flags().Changed("min-version"), cmd.Flags().Changed("max-version")
	switch {
	case f.format != "composefs" && f.format != "btrfs-send":
		return usage(cmd, fmt.Errorf("--format %q: there are composefs and btrfs-send", f.format))
	case f.output == "":
		return usage(cmd, errors.New("no --output"))
	case f.format == "btrfs-send":
		return f.checkStream(cmd, args)
	case f.parent != "" || f.repo != "" || f.name != "" || cmd.Flags().Changed("proto"):
		return usage(cmd, errors.New("--parent, --repo, --name and --proto are for btrfs-send"))
	case (len(args) == 0) != (f.dump != ""):
		return usage(cmd, errors.New("either REF or --from-dump"))
	case f.dump == "" && (least || most):
		return usage(cmd, errors.New("an installed release's image has format version 1"))
	case min(f.minVersion, f.maxVersion) < 0 || max(f.minVersion, f.maxVersion) > 1:
		return usage(cmd, errors.New("format versions are 0 and 1"))
	}
	if least && !most { // as mkcomposefs does
		f.maxVersion = 0
	}
	return nil
}

// image lays out what is to be written.
func (c *command) image(cmd *cobra.Command, args []string, flags exportFlags) (img *erofs.Image, err error) {
	if flags.dump == "" {
		err = c.withInstallation(func(i *install.Installation) error {
			_, entries, err := i.Tree(args[0])
			if err == nil {
				img, err = tree.Image(entries)
			}
			return err
		})
		return img, err
	}
	in := io.NopCloser(c.in)
	if flags.dump != "-" {
		if in, err = os.Open(flags.dump); err != nil {
			return nil, err
		}
	}
	defer in.Close()
	b := erofs.NewBuilder()
	if err = b.ReadDump(in); err == nil {
		img, err = b.Finish(erofs.Options{MinVersion: flags.minVersion, MaxVersion: flags.maxVersion})
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flags.dump, err)
	}
	return img, nil
}

// writeImage writes an image.
func (c *command) writeImage(img *erofs.Image, name string) (done exported, err error) {
	done = exported{Output: name}
	done.Bytes, err = c.writeOutput(name, func(w io.Writer) (err error) {
		done.Digest, err = tree.WriteImage(w, img)
		return err
	})
	return done, err
}

// writeOutput writes a file beside its name and then gives it the name, durably, so that
// there is never half of one; "-" is standard output. It gives how many bytes were written.
func (c *command) writeOutput(name string, write func(io.Writer) error) (int64, error) {
	if name == "-" {
		out := &counter{w: c.out}
		err := buffered(out, write)
		return out.n, err
	}
	dir, err := beneath.Open(filepath.Dir(name))
	if err != nil {
		return 0, err
	}
	defer dir.Close()
	var n int64
	err = durable.Stream(dir, filepath.Base(name), 0o644, func(w io.Writer) error {
		out := &counter{w: w}
		err := buffered(out, write)
		n = out.n
		return err
	})
	return n, err
}

func buffered(w io.Writer, write func(io.Writer) error) error {
	out := bufio.NewWriterSize(w, 256<<10)
	if err := write(out); err != nil {
		return err
	}
	return out.Flush()
}

// counter counts what passes.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
