package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/larch-project/larch/convert/tarball"
	"github.com/larch-project/larch/release"
	"github.com/larch-project/larch/repo"
	"github.com/larch-project/larch/tree"
	"github.com/larch-project/larch/trust"
)

func (c *command) keysFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.keys, "keys", "", "folder with the private keys (default: $LARCH_KEYS, or one below $XDG_CONFIG_HOME/larch/keys)")
}

func (c *command) initVerb() *cobra.Command {
	var opt trust.InitOptions
	cmd := &cobra.Command{
		Use:   "init REPO",
		Short: "Make a repository and its keys",
		Long: `Makes an empty repository in a new folder, and its private keys in another folder
that must never be published. Prints the fingerprint of the root key: whoever adds
the repository as a remote gives it, and trusts nothing else.`,
		Example: "  larch init ./repo\n  larch init --publisher alice --paths 'app/org.example.*/*/*' ./repo",
		Args:    args(1, 1),
		RunE:    func(cmd *cobra.Command, args []string) error { return c.init(cmd.Context(), args[0], opt) },
	}
	flags := cmd.Flags()
	flags.IntVar(&opt.RootKeys, "root-keys", 1, "number of root keys")
	flags.IntVar(&opt.Threshold, "threshold", 1, "how many root keys must sign a change of keys")
	flags.StringVar(&opt.Publisher, "publisher", "main", "name of the first publisher key")
	flags.StringSliceVar(&opt.Paths, "paths", nil, "refs that it may publish, as patterns (default: all)")
	flags.StringSliceVar(&opt.Mirrors, "mirror", nil, "URL of a mirror, for the signed list; may be repeated")
	flags.BoolVar(&opt.Passphrase, "passphrase", false, "protect the private keys with a passphrase")
	c.keysFlag(cmd)
	return cmd
}

// initialized is the document of init.
type initialized struct {
	Repository  string `json:"repository"`
	Keys        string `json:"keys"`
	Fingerprint string `json:"fingerprint"`
}

func (c *command) init(ctx context.Context, path string, opt trust.InitOptions) error {
	keys, err := c.newKeys(opt.Passphrase)
	if err != nil {
		return err
	}
	r, err := repo.Init(path)
	if err != nil {
		return err
	}
	defer r.Close()
	opt.Now = c.now()
	done := initialized{Repository: path, Keys: keys.Path()}
	if done.Fingerprint, err = trust.Init(ctx, r.Dir(), keys, opt); err != nil {
		return err // and the next run goes on from here
	}
	return c.report(done, func(w io.Writer) {
		fmt.Fprintf(w, "Made the repository %s\nkeys:        %s (keep them safe, and out of the repository)\nfingerprint: %s\n", path, done.Keys, done.Fingerprint)
	})
}

// publishFlags are the options of verbs that publish.
type publishFlags struct {
	req      repo.PublishRequest
	requires []string
	budget   float64
}

func (c *command) publishFlags(cmd *cobra.Command) *publishFlags {
	f := &publishFlags{}
	flags := cmd.Flags()
	flags.StringVar(&f.req.Version, "version", "", "version of the release (default: counts on from the last)")
	flags.StringVar(&f.req.Command, "command", "", "program that runs, below the folder's bin/ or with its path")
	flags.StringArrayVar(&f.requires, "requires", nil, "ref that must be installed with it, such as a runtime; may be repeated")
	flags.StringVarP(&f.req.Message, "message", "m", "", "what changed")
	flags.StringToStringVar(&f.req.Annotations, "annotate", nil, "title=TEXT, summary=TEXT, homepage=URL, license=ID; may be repeated")
	flags.Float64Var(&f.budget, "delta-budget", deltaBudget, "processor time for deltas, in seconds on all cores together (0: make none)")
	flags.StringSliceVar(&f.req.Deltas.From, "delta-from", nil, "older version from which to make a direct delta, whatever it saves; may be repeated")
	c.keysFlag(cmd)
	return f
}

// request reads the options.
func (f *publishFlags) request(cmd *cobra.Command) (req repo.PublishRequest, err error) {
	for _, s := range f.requires {
		ref, err := release.ParseRef(s)
		if err != nil {
			return req, err
		}
		f.req.Requires = append(f.req.Requires, ref)
	}
	if f.req.Deltas.Budget, err = seconds(f.budget); err == nil && f.budget == 0 && len(f.req.Deltas.From) > 0 {
		err = errors.New("--delta-from without a --delta-budget")
	}
	if err != nil {
		return req, usage(cmd, err)
	}
	return f.req, nil
}

func (c *command) publishVerb() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "publish REPO REF FOLDER|FILE.tar",
		Short: "Publish a folder as a release",
		Long: `Publishes a folder, or a tar file (.tar, .tar.gz, .tar.zst), as the next release of a
ref (kind/id/arch/channel). A folder with a file "metadata" at its top is published
as it is; any other becomes the application's files/, with a metadata made from the
options. Only what the repository does not have yet is written, and nothing is
visible before all of it is there and signed.

Deltas from the release before, and a stream for fresh installs, are made on the way,
with at most --delta-budget seconds of processor time: those first that save most.
"larch repo deltas make" makes them later, or elsewhere.`,
		Example: "  larch publish ./repo app/org.example.Hello/x86_64/stable ./build --command hello --version 1.0",
		Args:    args(3, 3),
	}
	flags := c.publishFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		req, err := flags.request(cmd)
		if err != nil {
			return err
		}
		return c.publish(cmd.Context(), args[0], args[1], req, func(_ context.Context, rules tree.Rules) (source, error) {
			return openSource(args[2], rules)
		})
	}
	return cmd
}

// published is the document of publish.
type published struct {
	Ref          string `json:"ref"`
	Version      string `json:"version"`
	Release      string `json:"release"`
	Entries      int64  `json:"entries"`
	Files        int64  `json:"files"`
	Bytes        int64  `json:"bytes"`
	NewContents  int64  `json:"new_contents"`
	BytesWritten int64  `json:"bytes_written"`
	Deltas       int    `json:"deltas"`
	DeltaBytes   int64  `json:"delta_bytes"`
}

// publish publishes what open gives, under the rules of its kind of release.
func (c *command) publish(ctx context.Context, path, name string, req repo.PublishRequest, open func(context.Context, tree.Rules) (source, error)) (err error) {
	if req.Ref, err = release.ParseRef(name); err != nil {
		return err
	}
	if req.Version != "" {
		if err := release.CheckVersion(req.Version); err != nil {
			return err
		}
	}
	c.allow(publishTarget)
	if req.Deltas.Budget > 0 {
		c.allow(deltaTarget)
	}
	r, err := repo.Open(path)
	if err != nil {
		return err
	}
	defer r.Close()
	keys, err := c.keyStore(r)
	if err != nil {
		return err
	}

	rules := tree.ApplicationRules()
	if req.Ref.Kind == release.OS {
		rules = tree.OSRules()
	}
	source, err := open(ctx, rules)
	if err != nil {
		return err
	}
	defer source.Close()
	req.Source, req.Now = source, c.now()
	_, total, err := source.Totals(ctx)
	if err != nil {
		return err
	}
	bar := c.progress("publishing", total)
	req.Progress = bar.reach
	done, err := r.Publish(ctx, keys, req)
	bar.end(err)
	if err != nil {
		return err
	}
	doc := published{req.Ref.String(), done.Version, done.Release.String(), done.Tree.Entries, done.Tree.Files, done.Tree.Bytes, done.New, done.Written, len(done.Deltas), 0}
	for _, e := range done.Deltas {
		doc.DeltaBytes += e.Size
	}
	return c.report(doc, func(w io.Writer) {
		fmt.Fprintf(w, "Published %s %s: %s, %s; %s new, %s written\n", doc.Ref, doc.Version,
			count(doc.Files, "file"), size(doc.Bytes), count(doc.NewContents, "content"), size(doc.BytesWritten))
		if doc.Deltas > 0 {
			fmt.Fprintf(w, "%s, %s\n", count(int64(doc.Deltas), "delta"), size(doc.DeltaBytes))
		}
	})
}

// source is what can be published.
type source interface {
	tree.Source
	io.Closer
}

// openSource opens a folder or an archive.
func openSource(path string, rules tree.Rules) (source, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	switch {
	case info.IsDir():
		return tree.Folder(path, rules)
	case info.Mode().IsRegular():
		return tarball.Open(path, rules)
	}
	return nil, fmt.Errorf("%q is neither a folder nor a tar file", path)
}
