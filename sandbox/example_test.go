package sandbox_test

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/larch-project/larch/release"
	"github.com/larch-project/larch/sandbox"
)

// Without bubblewrap nothing runs, unless the user asks for no sandbox.
func ExampleRun() {
	files, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(files)
	app := sandbox.App{
		Ref:      release.Ref{Kind: release.App, ID: "org.example.Hello", Arch: release.HostArch(), Channel: "stable"},
		Files:    files,
		Metadata: release.Metadata{Name: "org.example.Hello", Runtime: release.HostRuntime, Command: "/bin/echo"},
	}
	options := sandbox.Options{Stdout: os.Stdout, Environ: []string{"HOME=" + files, "PATH=/nowhere"}}

	_, err = sandbox.Run(context.Background(), app, []string{"hello"}, options)
	fmt.Println(errors.Is(err, sandbox.ErrNoBubblewrap))

	options.Unconfined = true
	code, err := sandbox.Run(context.Background(), app, []string{"hello"}, options)
	fmt.Println(code, err)
	// Output:
	// true
	// hello
	// 0 <nil>
}
