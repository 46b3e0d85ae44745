package main

import (
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
		Use:   "export --format composefs (REF | --from-dump DUMP) --output FILE",
		Short: "Write what is installed in another form",
		Long: `Writes the composefs image of what is installed, or of a composefs dump ("-" is
standard input), bit for bit as mkcomposefs does, and prints its fs-verity digest as the
first word. An installed release's image has format version 1 and the digest that the
release states; that of a dump has the version that the options say, as mkcomposefs
understands them: 0, or 1 where there are whiteouts, unless one of them is given, which
makes the other 0.`,
		Example: "  larch export --format composefs editor --output editor.cfs\n  larch export --format composefs --from-dump tree.dump --min-version 1 --output tree.cfs",
		Args:    args(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := flags.check(cmd, args); err != nil {
				return err
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
	cmd.Flags().StringVar(&flags.format, "format", "", "composefs")
	cmd.Flags().StringVar(&flags.dump, "from-dump", "", "a composefs dump instead of what is installed")
	cmd.Flags().StringVarP(&flags.output, "output", "o", "", "file to write; - is standard output")
	cmd.Flags().IntVar(&flags.minVersion, "min-version", 0, "of a dump's image: the least format version")
	cmd.Flags().IntVar(&flags.maxVersion, "max-version", 1, "of a dump's image: the greatest format version that may be chosen")
	return cmd
}

func (f *exportFlags) check(cmd *cobra.Command, args []string) error {
	least, most := cmd.Flags().Changed("min-version"), cmd.Flags().Changed("max-version")
	switch {
	case f.format != "composefs":
		return usage(cmd, fmt.Errorf("--format %q: there is composefs", f.format))
	case f.output == "":
		return usage(cmd, errors.New("no --output"))
	case (len(args) == 0) != (f.dump != ""):
		return usage(cmd, errors.New("either REF or --from-dump"))
	case f.dump == "" && (least || most):
		return usage(cmd, errors.New("an installed release's image has format version 1"))
	case f.minVersion < 0 || f.minVersion > 1 || f.maxVersion < 0:
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
	if err := b.ReadDump(in); err != nil {
		return nil, fmt.Errorf("%s: %w", flags.dump, err)
	}
	return b.Finish(erofs.Options{MinVersion: flags.minVersion, MaxVersion: flags.maxVersion})
}

// writeImage writes an image and then gives it its name, so that there is never half
// of one.
func (c *command) writeImage(img *erofs.Image, name string) (done exported, err error) {
	done = exported{Bytes: img.Size(), Output: name}
	if name == "-" {
		done.Digest, err = tree.WriteImage(c.out, img)
		return done, err
	}
	dir, err := beneath.Open(filepath.Dir(name))
	if err != nil {
		return done, err
	}
	defer dir.Close()
	err = durable.Stream(dir, filepath.Base(name), 0o644, func(w io.Writer) (err error) {
		done.Digest, err = tree.WriteImage(w, img)
		return err
	})
	return done, err
}
