package web_test

import (
	"github.com/larch-project/larch/transport/transporttest"
	"net/http"
)

// redirected sends each request once around the corner.
func redirected(w http.ResponseWriter, r *http.Request, honest http.Handler) {
	if r.URL.RawQuery == "" {
		transporttest.Redirect(r.URL.EscapedPath()+"?moved")(w, r, honest)
		return
	}
	honest.ServeHTTP(w, r)
}
