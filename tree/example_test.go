package tree_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/larch-project/larch/tree"
)

// A folder becomes a text, and the text a sequence of entries.
func Example() {
	dir, err := os.MkdirTemp("", "larch-example-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	os.Mkdir(filepath.Join(dir, "bin"), 0o700)
	os.WriteFile(filepath.Join(dir, "bin", "hello"), []byte("#!/bin/sh\necho hello\n"), 0o700)
	os.Symlink("hello", filepath.Join(dir, "bin", "hi"))

	var text bytes.Buffer
	info, err := tree.Scan(context.Background(), dir, tree.ApplicationRules(), &text)
	if err != nil {
		panic(err)
	}
	fmt.Print(text.String())
	for e, err := range tree.Verified(&text, info) {
		if err != nil {
			panic(err)
		}
		fmt.Printf("%v %04o %s\n", e.Kind, e.Mode, e.Path)
	}
	// Output:
	// / 0 40755 1 0 0 0 0.0 - - -
	// /bin 0 40755 1 0 0 0 0.0 - - -
	// /bin/hello 21 100755 1 0 0 0 0.0 - #!/bin/sh\necho\x20hello\n -
	// /bin/hi 5 120777 1 0 0 0 0.0 hello - -
	// directory 0755 /
	// directory 0755 /bin
	// regular file 0755 /bin/hello
	// symlink 0777 /bin/hi
}
