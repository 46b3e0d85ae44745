package install_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/larch-project/larch/install"
	"github.com/larch-project/larch/release"
	"github.com/larch-project/larch/repo"
	"github.com/larch-project/larch/tree"
	"github.com/larch-project/larch/trust"
)

// A machine that trusts a repository plans an installation, looks at the plan,
// and applies it.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	fingerprint := publish(ctx, dir)

	machine, err := install.Open(filepath.Join(dir, "machine"), install.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer machine.Close()
	if _, err := machine.AddRemote(ctx, "example", filepath.Join(dir, "repo"), fingerprint); err != nil {
		log.Fatal(err)
	}
	plan, err := machine.PlanInstall(ctx, []install.Wanted{{Ref: "hello"}}, install.PlanOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer plan.Close()
	for _, step := range plan.Steps {
		fmt.Println(step.Action, step.Ref.ID, step.After.Version, step.Disk, "bytes of disk")
	}
	result, err := plan.Apply(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("generation", result.Generation)

	// Output:
	// install org.example.Hello 1.0 4096 bytes of disk
	// generation 1
}

// publish makes a repository with one application and gives its fingerprint.
func publish(ctx context.Context, dir string) string {
	program := "#!/bin/sh\necho This is an example of more than sixty-four bytes. Hello!\n"
	for _, err := range []error{
		os.MkdirAll(filepath.Join(dir, "app/bin"), 0o755),
		os.WriteFile(filepath.Join(dir, "app/bin/hello"), []byte(program), 0o755),
	} {
		if err != nil {
			log.Fatal(err)
		}
	}
	published, err := repo.Init(filepath.Join(dir, "repo"))
	if err != nil {
		log.Fatal(err)
	}
	defer published.Close()
	keys, _, err := trust.NewKeyStore(filepath.Join(dir, "keys"), nil, false)
	if err != nil {
		log.Fatal(err)
	}
	fingerprint, err := trust.Init(ctx, published.Dir(), keys, trust.InitOptions{Now: time.Now()})
	if err != nil {
		log.Fatal(err)
	}
	source, err := tree.Folder(filepath.Join(dir, "app"), tree.ApplicationRules())
	if err != nil {
		log.Fatal(err)
	}
	defer source.Close()
	ref := release.Ref{Kind: release.App, ID: "org.example.Hello", Arch: release.HostArch(), Channel: "stable"}
	req := repo.PublishRequest{Ref: ref, Version: "1.0", Command: "hello", Source: source, Now: time.Now()}
	if _, err := published.Publish(ctx, keys, req); err != nil {
		log.Fatal(err)
	}
	return fingerprint
}
