package trust_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/trust"
)

// A publisher makes a repository and signs a release; a machine that knows the
// fingerprint follows.
func Example() {
	work, err := os.MkdirTemp("", "trust")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(work)
	if err := publishAndFollow(context.Background(), work, time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)); err != nil {
		fmt.Println(err)
	}
	// Output:
	// trusted: app/org.example.Editor/x86_64/stable 1.0 by main
	// until: 2026-03-08
}

func publishAndFollow(ctx context.Context, work string, now time.Time) error {
	keys, fingerprint, err := trust.NewKeyStore(filepath.Join(work, "keys"), nil, false)
	if err != nil {
		return err
	}
	repository, err := folder(work, "repository")
	if err != nil {
		return err
	}
	defer repository.Close()
	if _, err := trust.Init(ctx, repository, keys, trust.InitOptions{Now: now}); err != nil {
		return err
	}
	head, err := trust.Open(repository, keys)
	if err != nil {
		return err
	}
	document := []byte(`{"the release document":true}`)
	err = head.Commit(ctx, now, func(e *trust.Edit) error {
		return e.Set(trust.Target{
			Name: "app/org.example.Editor/x86_64/stable", Length: int64(len(document)), SHA256: sha256.Sum256(document),
			Custom: trust.Custom{Release: digest.Of(document), Version: "1.0"},
		})
	})
	if err != nil {
		return err
	}

	local, err := folder(work, "local")
	if err != nil {
		return err
	}
	defer local.Close()
	fetch := func(_ context.Context, name string, limit int64, _ string) (trust.Document, error) {
		data, err := repository.ReadFile(name, limit) // or from a server, which need not be trusted
		return trust.Document{Data: data}, err
	}
	machine := trust.NewClient(local, fetch, func() time.Time { return now })
	if err := machine.Bootstrap(ctx, fingerprint); err != nil {
		return err
	}
	for _, t := range machine.Targets() {
		fmt.Println("trusted:", t.Name, t.Custom.Version, "by", t.Publisher)
	}
	fmt.Println("until:", machine.Expires().Format(time.DateOnly))
	return nil
}

func folder(parent, name string) (*beneath.Dir, error) {
	path := filepath.Join(parent, name)
	if err := os.Mkdir(path, 0o755); err != nil {
		return nil, err
	}
	return beneath.Open(path)
}
