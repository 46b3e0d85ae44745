package fuse

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/larch-project/larch/deploy"
)

// Probe makes a deployment of one file aside, has it served, and reads it.
func (b Backend) Probe(ctx context.Context, site deploy.Site) deploy.Support {
	support := deploy.Support{Verifies: deploy.Signed, SharesCache: true}
	trial, err := deploy.NewTrial(site.Root, b.Name())
	if err == nil {
		err = errors.Join(b.try(ctx, trial), trial.Close())
	}
	if err != nil {
		support.Why, support.Err = err.Error(), err
	}
	support.Usable = err == nil
	return support
}

func (b Backend) try(ctx context.Context, trial *deploy.Trial) error {
	if err := b.Make(ctx, trial.Site, trial.Spec); err != nil {
		return err
	}
	err := b.tryRead(ctx, trial)
	return errors.Join(err, b.Remove(context.WithoutCancel(ctx), trial.Site, trial.Spec.Name))
}

func (b Backend) tryRead(ctx context.Context, trial *deploy.Trial) error {
	view, err := b.Open(ctx, trial.Site, trial.Spec.Name)
	if err != nil {
		return err
	}
	name, want := trial.Sample()
	have, err := readIn(view, name, int64(len(want)))
	if err == nil && !bytes.Equal(have, want) {
		err = fmt.Errorf("a file of %d bytes was served as %d other ones", len(want), len(have))
	}
	return errors.Join(err, view.Close())
}

func readIn(view *deploy.View, name string, limit int64) ([]byte, error) {
	d, err := view.Open()
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.ReadFile(name, limit)
}
