package web_test

import (
	"context"
	"fmt"
	"io"
	"net/http/httptest"
	"testing/fstest"

	"github.com/larch-project/larch/transport"
	"github.com/larch-project/larch/transport/transporttest"
	"github.com/larch-project/larch/transport/web"
)

// A server that fails and a connection that breaks are no concern of the caller.
func Example() {
	site := transporttest.NewServer(fstest.MapFS{"larch.json": {Data: []byte(`{"features":[],"format":1}`)}})
	site.Next(transporttest.Status(503), transporttest.CutAfter(5))
	server := httptest.NewServer(site)
	defer server.Close()

	var stats transport.Stats
	repository, err := web.New(server.URL+"/r", web.Options{UserAgent: "larch/1.0", Stats: &stats})
	if err != nil {
		panic(err)
	}
	defer repository.Close()
	res, err := repository.Fetch(context.Background(), transport.Request{Name: "larch.json"})
	if err != nil {
		panic(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1000))
	if err != nil {
		panic(err)
	}
	fmt.Printf("%s, after %d requests for %d bytes\n", text, stats.Requests.Load(), stats.Bytes.Load())
	// Output: {"features":[],"format":1}, after 3 requests for 46 bytes
}
