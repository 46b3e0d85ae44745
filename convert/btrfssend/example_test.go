package btrfssend_test

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"strings"

	"github.com/larch-project/larch/convert/btrfssend"
	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/tree"
)

// A tree becomes a stream for "btrfs receive", and that a tree again.
func Example() {
	const text = "/ 0 40755 1 0 0 0 0.0 - - -\n/hello 6 100644 1 0 0 0 0.0 - hello\\n -\n"
	sub := btrfssend.Subvolume{
		Name: "hello-1.0", Tree: digest.Of([]byte(text)),
		Entries: func(yield func(*tree.Entry, error) bool) { tree.Decode(strings.NewReader(text))(yield) },
	}
	var stream bytes.Buffer
	if err := btrfssend.Write(context.Background(), &stream, sub, nil, btrfssend.Options{}); err != nil {
		log.Fatal(err)
	}

	source, err := btrfssend.Open(context.Background(), []btrfssend.Input{{Name: "hello", Reader: &stream}}, btrfssend.OpenOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer source.Close()
	for e, err := range source.Entries(context.Background()) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(source.Subvolume(), e.Path, e.Size)
	}
	// Output:
	// hello-1.0 / 0
	// hello-1.0 /hello 6
}
