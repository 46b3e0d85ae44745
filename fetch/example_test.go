package fetch_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/fetch"
	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/release"
	"github.com/larch-project/larch/repo"
	"github.com/larch-project/larch/store"
	"github.com/larch-project/larch/transport/file"
	"github.com/larch-project/larch/tree"
	"github.com/larch-project/larch/trust"
)

// The contents of a release, from a repository that is a folder into a store.
func Example() {
	work, err := os.MkdirTemp("", "larch-example")
	must(err)
	defer os.RemoveAll(work)
	published := publishExample(work)

	repository, err := file.New(filepath.Join(work, "repo"))
	must(err)
	defer repository.Close()
	must(os.Mkdir(filepath.Join(work, "machine"), 0o755))
	dir, err := beneath.Open(filepath.Join(work, "machine"))
	must(err)
	defer dir.Close()
	st, err := store.Open(dir)
	must(err)
	defer st.Close()

	ctx := context.Background()
	rel, _, err := fetch.Previous(ctx, repository, published)
	must(err)
	info := rel.Tree.Info()
	must(fetch.Tree(ctx, repository, info, st))

	need, err := fetch.Survey(ctx, st.Tree(info.Digest, info.Size), st)
	must(err)
	index := func(ctx context.Context) (*repo.Index, error) { return fetch.Index(ctx, repository, published, info) }
	ix, err := index(ctx)
	must(err)
	plan, err := fetch.NewPlan(need, ix)
	must(err)
	fmt.Printf("%d contents, %d bytes, by %d request\n", need.Objects, need.Bytes, plan.Requests)

	batch := st.NewBatch(ctx)
	defer batch.Close()
	must(plan.Run(ctx, repository, batch, index, func(int64) {}))
	must(st.End())

	need, err = fetch.Survey(ctx, st.Tree(info.Digest, info.Size), st)
	must(err)
	fmt.Printf("then %d\n", need.Objects)
	// Output:
	// 3 contents, 6000 bytes, by 1 request
	// then 0
}

// publishExample makes a repository with one release of three files.
func publishExample(work string) digest.Digest {
	for i, name := range []string{"one", "three", "two"} {
		must(os.MkdirAll(filepath.Join(work, "app"), 0o755))
		must(os.WriteFile(filepath.Join(work, "app", name), []byte(noise(uint64(i), 2000)), 0o644))
	}
	repository, err := repo.Init(filepath.Join(work, "repo"))
	must(err)
	defer repository.Close()
	keys, _, err := trust.NewKeyStore(filepath.Join(work, "keys"), nil, false)
	must(err)
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	_, err = trust.Init(context.Background(), repository.Dir(), keys, trust.InitOptions{Now: now})
	must(err)
	source, err := tree.Folder(filepath.Join(work, "app"), tree.ApplicationRules())
	must(err)
	defer source.Close()
	ref := release.Ref{Kind: release.Runtime, ID: "org.example.Base", Arch: "x86_64", Channel: "stable"}
	done, err := repository.Publish(context.Background(), keys, repo.PublishRequest{Ref: ref, Version: "1", Source: source, Now: now})
	must(err)
	return done.Release
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
