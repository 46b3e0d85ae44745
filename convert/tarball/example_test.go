package tarball_test

import (
	"archive/tar"
	"context"
	"fmt"
	"os"

	"github.com/larch-project/larch/convert/tarball"
	"github.com/larch-project/larch/tree"
)

// An archive becomes the text of a tree.
func Example() {
	file, err := os.CreateTemp("", "larch-example-*.tar")
	if err != nil {
		panic(err)
	}
	defer os.Remove(file.Name())
	w := tar.NewWriter(file)
	w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "./bin/hello", Mode: 0o700, Size: 10})
	w.Write([]byte("echo hello"))
	w.Close()
	file.Close()

	archive, err := tarball.Open(file.Name(), tree.ApplicationRules())
	if err != nil {
		panic(err)
	}
	defer archive.Close()
	text := tree.NewEncoder(os.Stdout)
	for e, err := range tree.Hash(context.Background(), archive, 2) {
		if err != nil {
			panic(err)
		}
		if err := text.Write(e); err != nil {
			panic(err)
		}
	}
	if err := text.Close(); err != nil {
		panic(err)
	}
	fmt.Println(text.Info().Files, "file,", text.Info().Bytes, "bytes")
	// Output:
	// / 0 40755 1 0 0 0 0.0 - - -
	// /bin 0 40755 1 0 0 0 0.0 - - -
	// /bin/hello 10 100755 1 0 0 0 0.0 - echo\x20hello -
	// 1 file, 10 bytes
}
