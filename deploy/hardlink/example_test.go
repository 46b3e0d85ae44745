package hardlink_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/deploy/hardlink"
	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/tree"
)

// A deployment is made, used and removed; while it is used it cannot be removed.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "site")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	root, err := beneath.Open(dir)
	if err != nil {
		log.Fatal(err)
	}
	defer root.Close()

	backend := hardlink.Backend{}
	site := deploy.Site{Root: root} // no Content: the only file is in the tree
	spec := deploy.Spec{Name: "release", Tree: entriesOf([]*tree.Entry{
		{Path: "/", Kind: tree.Directory, Mode: 0o755, Nlink: 1},
		{Path: "/motto", Kind: tree.Regular, Mode: 0o644, Nlink: 1, Size: 5, Inline: []byte("larch")},
	})}
	if err := backend.Make(ctx, site, spec); err != nil {
		log.Fatal(err)
	}
	view, err := backend.Open(ctx, site, "release")
	if err != nil {
		log.Fatal(err)
	}
	motto, err := os.ReadFile(view.Path + "/motto")
	fmt.Println(string(motto), err)
	fmt.Println(backend.Remove(ctx, site, "release"))
	view.Close()
	fmt.Println(backend.Remove(ctx, site, "release"))
	// Output:
	// larch <nil>
	// deployments/release.hardlink: the deployment is in use
	// <nil>
}
