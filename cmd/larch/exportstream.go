package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/larch-project/larch/convert/btrfssend"
	"github.com/larch-project/larch/install"
	"github.com/larch-project/larch/release"
	"github.com/larch-project/larch/repo"
	"github.com/larch-project/larch/tree"
)

// exportedStream is the document of export --format btrfs-send.
type exportedStream struct {
	Subvolume  string `json:"subvolume"`
	UUID       string `json:"uuid"`
	ParentUUID string `json:"parent_uuid"` // "" if it needs none
	Bytes      int64  `json:"bytes"`
	Output     string `json:"output"`
}

// checkStream looks at the options of export --format btrfs-send.
func (f *exportFlags) checkStream(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return usage(cmd, errors.New("no REF"))
	case f.dump != "" || cmd.Flags().Changed("min-version") || cmd.Flags().Changed("max-version"):
		return usage(cmd, errors.New("--from-dump, --min-version and --max-version are for composefs"))
	case f.proto < 1 || f.proto > 2:
		return usage(cmd, errors.New("versions of the stream format are 1 and 2"))
	}
	return nil
}

// exportStream writes a btrfs send stream.
func (c *command) exportStream(ctx context.Context, ref string, f exportFlags) error {
	return c.withSubvolume(ctx, f.repo, ref, func(sub btrfssend.Subvolume) error {
		if f.name != "" {
			sub.Name = f.name
		}
		if f.parent == "" {
			return c.writeStream(ctx, sub, nil, f)
		}
		c.allow(publishTarget)
		return c.withSubvolume(ctx, f.repo, f.parent, func(parent btrfssend.Subvolume) error {
			return c.writeStream(ctx, sub, &parent, f)
		})
	})
}

func (c *command) writeStream(ctx context.Context, sub btrfssend.Subvolume, parent *btrfssend.Subvolume, f exportFlags) (err error) {
	done := exportedStream{Subvolume: sub.Name, UUID: btrfssend.UUIDOf(sub.Tree).String(), Output: f.output}
	if parent != nil {
		done.ParentUUID = btrfssend.UUIDOf(parent.Tree).String()
	}
	done.Bytes, err = c.writeOutput(f.output, func(w io.Writer) error {
		return btrfssend.Write(ctx, w, sub, parent, btrfssend.Options{Version: f.proto})
	})
	if err != nil || f.output == "-" {
		return err
	}
	return c.report(done, func(w io.Writer) {
		fmt.Fprintf(w, "Wrote %s: subvolume %s, %s\n", safe(done.Output), safe(done.Subvolume), size(done.Bytes))
	})
}

// withSubvolume opens the release that a stream is made of, by REF or REF@VERSION,
// in a repository or, if that is "", in the installation.
func (c *command) withSubvolume(ctx context.Context, repository, name string, do func(btrfssend.Subvolume) error) error {
	if repository != "" {
		wanted := install.ParseWanted(name)
		return withLine(ctx, repository, wanted.Ref, func(l line) error { return withPublished(l, wanted.Version, do) })
	}
	return c.withInstallation(func(i *install.Installation) error {
		kept, err := i.Kept(name)
		if err != nil {
			return err
		}
		return do(btrfssend.Subvolume{
			Name: subvolumeName(kept.Document), Tree: kept.Document.Tree.Digest, Entries: kept.Entries(),
			Open: func(e *tree.Entry) (io.ReadCloser, error) { return kept.Open(e) },
		})
	})
}

func withPublished(l line, version string, do func(btrfssend.Subvolume) error) error {
	found := &l.log[0]
	if version != "" {
		var err error
		if found, err = l.find(version); err != nil {
			return err
		}
		if found == nil {
			return fmt.Errorf("%w: %q", repo.ErrUnknownRelease, version)
		}
	}
	contents, err := l.repo.Stored(*found)
	if err != nil {
		return err
	}
	defer contents.Close()
	return do(btrfssend.Subvolume{
		Name: subvolumeName(found.Release), Tree: found.Release.Tree.Digest,
		Entries: l.repo.Tree(found.Release.Tree.Info()), Open: contents.Open,
	})
}

// subvolumeName is what a subvolume is called unless somebody says otherwise.
func subvolumeName(r *release.Release) string { return r.Ref.Name() + "-" + r.Version }
