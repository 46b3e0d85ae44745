package mirror_test

import (
	"context"
	"fmt"
	"io"
	"net/http/httptest"
	"strings"
	"testing/fstest"

	"github.com/larch-project/larch/transport"
	"github.com/larch-project/larch/transport/mirror"
	"github.com/larch-project/larch/transport/transporttest"
	"github.com/larch-project/larch/transport/web"
)

// The primary is down; a mirror helps.
func Example() {
	site := transporttest.NewServer(fstest.MapFS{"packs/a": {Data: []byte("content")}})
	server := httptest.NewServer(site)
	defer server.Close()
	var members []transport.Transport
	for _, address := range []string{"http://127.0.0.1:1/r", server.URL + "/r"} {
		member, err := web.New(address, web.Options{Retries: 1})
		if err != nil {
			panic(err)
		}
		members = append(members, member)
	}
	repository := mirror.New(members[0], members[1:], mirror.Options{
		Head: func(name string) bool { return strings.HasPrefix(name, "trust/") },
	})
	defer repository.Close()

	res, err := repository.Fetch(context.Background(), transport.Request{Name: "packs/a"})
	if err != nil {
		panic(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(io.LimitReader(res.Body, 100))
	fmt.Println(string(data), err)
	// Output: content <nil>
}
