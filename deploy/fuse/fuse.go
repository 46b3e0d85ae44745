package fuse

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"

	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/tree"
)

const (
	indexName  = "index"
	leavesName = "leaves"
)

// Backend implements deploy.Backend.
type Backend struct {
	// Command calls Serve with the arguments that follow it: a program and its leading
	// arguments.
	Command []string
	// Lazy lets deployments be made whose contents are not all here: reading those
	// waits for the server's Source.
	Lazy bool
}

// Name implements deploy.Backend.
func (Backend) Name() string { return "fuse" }

func named(name string) deploy.Deployment { return deploy.Deployment{Name: name, Backend: "fuse"} }

// Make implements deploy.Backend. It holds the whole tree in memory: some 400 bytes
// for each entry.
func (b Backend) Make(ctx context.Context, site deploy.Site, spec deploy.Spec) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	var m *maker // of the spec
	return named(spec.Name).Make(ctx, site.Root, deploy.Form{
		Right: func(folder *beneath.Dir) (right bool, err error) {
			if m, err = b.plan(site, spec); err != nil {
				return false, err
			}
			return m.isRight(ctx, folder)
		},
		Leave: func() error { return leave(ctx, site.Root, spec.Name) },
		Fill: func(aside *beneath.Dir) (err error) {
			if m == nil {
				if m, err = b.plan(site, spec); err != nil {
					return err
				}
			}
			return m.fill(ctx, spec, aside)
		},
	})
}

// plan makes the index that the deployment will have.
func (b Backend) plan(site deploy.Site, spec deploy.Spec) (*maker, error) {
	locate := func(e *tree.Entry) (string, error) {
		name, err := site.Content.Locate(e)
		if b.Lazy && name != "" && errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return name, err
	}
	data, wanted, err := buildIndex(spec.Info.Digest, spec.Tree(), locate)
	if err != nil {
		return nil, err
	}
	x, err := parseIndex(data)
	return &maker{site: site, lazy: b.Lazy, index: x, wanted: wanted}, err
}

func (m *maker) isRight(ctx context.Context, folder *beneath.Dir) (bool, error) {
	there, err := openLeaves(folder)
	if errors.Is(err, digest.ErrMismatch) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	defer there.close()
	if there.index.digest != m.index.digest {
		return false, nil
	}
	return there.whole(ctx, m.site.Root, m.lazy)
}

func (m *maker) fill(ctx context.Context, spec deploy.Spec, aside *beneath.Dir) error {
	if spec.Previous != "" {
		if folder, err := m.site.Root.OpenDir(named(spec.Previous).Folder()); err == nil {
			defer folder.Close()
			if previous, err := openLeaves(folder); err == nil {
				defer previous.close()
				previous.prepare()
				m.previous = previous
			}
		}
	}
	if err := create(aside, leavesName, func(f *os.File) error { return m.write(ctx, f) }); err != nil {
		return err
	}
	return create(aside, indexName, func(f *os.File) error {
		_, err := f.Write(m.index.data)
		return err
	})
}

// create makes a file that whoever may run the deployment may read.
func create(dir *beneath.Dir, name string, write func(*os.File) error) error {
	f, err := dir.Create(name, 0o644)
	if err != nil {
		return err
	}
	if err = dir.Change("write", name); err == nil {
		err = write(f)
	}
	return errors.Join(err, f.Chmod(0o644), f.Close())
}

// Open implements deploy.Backend. The server is started if need be; it must be
// possible to write to the root then, by its owner.
func (b Backend) Open(ctx context.Context, site deploy.Site, name string) (*deploy.View, error) {
	hold, err := named(name).Hold(ctx, site.Root)
	if err != nil {
		return nil, err
	}
	if err := b.show(ctx, site.Root, name); err != nil {
		return nil, errors.Join(err, hold.Close())
	}
	return deploy.NewView(site, path.Join(mountPoint, name), hold), nil
}

// Remove implements deploy.Backend. With the last deployment the server goes.
func (Backend) Remove(ctx context.Context, site deploy.Site, name string) error {
	if err := named(name).Remove(site.Root, func() error { return leave(ctx, site.Root, name) }); err != nil {
		return err
	}
	all, err := deploy.List(site.Root)
	if err != nil {
		return err
	}
	for _, d := range all {
		if d.Backend == named(name).Backend {
			return nil
		}
	}
	return stop(ctx, site.Root)
}
