package install

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/internal/durable"
)

// exportWriter fills the folder exports/ of a generation, and gives the list of
// what is installed with what it has exported.
type exportWriter func(exports *beneath.Dir, list []Installed) ([]Installed, error)

// commit makes g the current generation, under the lock. On return it survives
// power loss, and so does all that was written to the file system before. Until
// the link is renamed, nothing has happened for anybody else.
func (i *Installation) commit(ctx context.Context, g Generation, export exportWriter) error {
	if err := i.commitGeneration(ctx, g, export); err != nil {
		i.root.RemoveAll(asideName) // the next transaction does otherwise
		return fmt.Errorf("making generation %d: %w", g.Number, err)
	}
	return nil
}

func (i *Installation) commitGeneration(ctx context.Context, g Generation, export exportWriter) error {
	if err := i.writeAside(g, export); err != nil {
		return err
	}
	if err := i.barrier(); err != nil {
		return err
	}
	if ctx.Err() != nil { // the last moment to change one's mind
		return context.Cause(ctx)
	}
	if err := i.root.RenameNoReplace(asideName, generationName(g.Number)); err != nil {
		return err
	}
	if err := i.syncFolder(generations); err != nil {
		return err
	}
	return durable.Symlink(i.root, generationName(g.Number), currentName) // the commit point
}

// barrier makes everything durable, and ends the store's transaction.
func (i *Installation) barrier() error {
	if err := i.root.SyncFS(); err != nil {
		return err
	}
	return i.store.End()
}

func (i *Installation) syncFolder(name string) error {
	dir, err := i.root.OpenDir(name)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// writeAside makes the generation's folder in tmp/.
func (i *Installation) writeAside(g Generation, export exportWriter) error {
	if err := i.root.RemoveAll(asideName); err != nil {
		return err
	}
	if err := i.root.MkdirAll(path.Join(asideName, exportsName), 0o755); err != nil {
		return err
	}
	aside, err := i.root.OpenDir(asideName)
	if err != nil {
		return err
	}
	defer aside.Close()
	exports, err := aside.OpenDir(exportsName)
	if err != nil {
		return err
	}
	defer exports.Close()
	if g.Installed, err = export(exports, g.Installed); err != nil {
		return err
	}
	if err := linkRefs(aside, g.Installed); err != nil {
		return err
	}
	data, err := g.encode()
	if err != nil {
		return err
	}
	return errors.Join(writeFile(aside, stateName, data, 0o644), writeFile(aside, copyName, data, 0o644))
}

// linkRefs makes a link to the deployment of each ref, for people and scripts:
// refs/app/org.example.Editor/x86_64/stable.
func linkRefs(aside *beneath.Dir, list []Installed) error {
	for _, in := range list {
		name := path.Join(refsName, in.Ref.String())
		if err := aside.MkdirAll(path.Dir(name), 0o755); err != nil {
			return err
		}
		if err := aside.Symlink(refTarget(in), name); err != nil {
			return err
		}
	}
	return nil
}

// refTarget leads from the link of a ref, in a generation's folder refs/, to its
// deployment.
func refTarget(in Installed) string { return "../../../../../../" + in.deployment().Folder() }

// writeFile makes a new file of exactly this mode; it is durable with the next
// barrier.
func writeFile(dir *beneath.Dir, name string, data []byte, perm fs.FileMode) error {
	f, err := dir.Create(name, 0o600)
	if err != nil {
		return err
	}
	if err = dir.Change("write", name); err == nil {
		_, err = f.Write(data)
	}
	return errors.Join(err, f.Chmod(perm), f.Close())
}

// removeGeneration takes a generation away. Nobody must need it.
func (i *Installation) removeGeneration(n int64) error { return i.trash(generationName(n)) }
