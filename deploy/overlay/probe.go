package overlay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"github.com/larch-project/larch/deploy"
)

// Probe makes a deployment of one file aside, and mounts it.
func (b Backend) Probe(ctx context.Context, site deploy.Site) deploy.Support {
	support := deploy.Support{Verifies: deploy.OnDisk(site.Root), SharesCache: true}
	trial, err := deploy.NewTrial(site.Root, b.Name())
	if err == nil {
		err = errors.Join(b.try(ctx, trial), trial.Close())
		if trial.Measured {
			support.Verifies = deploy.Signed
		}
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
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	if err := b.prepare(ctx, trial.Site, trial.Spec.Name, cmd); err != nil {
		return err
	}
	cmd.Args = cmd.Args[:len(cmd.Args)-2] // no program: mount, read the sample, and end
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Run(); err != nil {
		return explain(err, said.String())
	}
	return nil
}

// explain says what keeps this machine from it.
func explain(err error, said string) error {
	said = strings.TrimSpace(said)
	switch {
	case said == "":
		return fmt.Errorf("no namespace for mounts: %w: the kernel does not let this user have one", err)
	case len(said) > 500:
		said = said[:500]
	}
	return fmt.Errorf("%s: it needs Linux 6.16 or so", strings.TrimPrefix(said, "larch: "))
}
