package transport_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/larch-project/larch/transport"
	"github.com/larch-project/larch/transport/file"
)

// A range of a file, whether the server has ranges or not; then a file that is
// not there.
func ExampleTransport() {
	dir, err := os.MkdirTemp("", "larch-example")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(dir+"/larch.json", []byte(`{"features":[],"format":1}`), 0o644); err != nil {
		panic(err)
	}
	folder, err := file.New(dir)
	if err != nil {
		panic(err)
	}
	defer folder.Close()
	var stats transport.Stats
	var repository transport.Transport = transport.Counting(folder, &stats)

	ctx := context.Background()
	req := transport.Request{Name: "larch.json", Offset: 15, Length: 10}
	res, err := repository.Fetch(ctx, req)
	if err != nil {
		panic(err)
	}
	defer res.Body.Close()
	if _, err := io.CopyN(io.Discard, res.Body, req.Offset-res.Offset); err != nil {
		panic(err)
	}
	part := make([]byte, req.Length)
	if _, err := io.ReadFull(res.Body, part); err != nil {
		panic(err)
	}
	fmt.Printf("%s of %d bytes\n", part, res.Size)

	_, err = repository.Fetch(ctx, transport.Request{Name: "trust/timestamp.json"})
	fmt.Println("missing:", errors.Is(err, fs.ErrNotExist))
	fmt.Println(stats.Requests.Load(), "requests,", stats.Bytes.Load(), "bytes")
	// Output:
	// "format":1 of 26 bytes
	// missing: true
	// 2 requests, 10 bytes
}
