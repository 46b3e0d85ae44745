package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/repo"
)

func (c *command) serveVerb() *cobra.Command {
	var listen string
	cmd := &cobra.Command{
		Use:   "serve REPO",
		Short: "Serve a repository over HTTP, to try it out",
		Long: `Serves a repository's files over HTTP until it is interrupted. Any web server does as
well: a repository is static files.`,
		Example: "  larch serve ./repo --listen 127.0.0.1:8080",
		Args:    args(1, 1),
		RunE:    func(cmd *cobra.Command, args []string) error { return c.serve(cmd.Context(), args[0], listen) },
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:8080", "address and port; port 0 takes a free one")
	return cmd
}

// serving is the document of serve, printed when it accepts connections.
type serving struct {
	URL string `json:"url"`
}

func (c *command) serve(ctx context.Context, path, listen string) error {
	r, err := repo.Open(path)
	if err != nil {
		return err
	}
	defer r.Close()
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	url := "http://" + listener.Addr().String()
	if c.json {
		err = c.encode(serving{url})
	} else if !c.quiet {
		_, err = fmt.Fprintf(c.out, "Serving %s at %s\n", path, url)
	}
	if err != nil {
		return err
	}
	server := &http.Server{Handler: static(http.FileServerFS(ownFiles{r.Dir()})), ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// ownFiles is a repository's folder for a server: no link in it is followed, and
// nothing but regular files and folders is there.
type ownFiles struct{ dir *beneath.Dir }

// Open implements fs.FS.
func (p ownFiles) Open(name string) (fs.File, error) {
	f, err := p.dir.Open(name)
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.EXDEV) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		err = &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// static lets caches keep what never changes and ask about the rest.
func static(files http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/") || strings.Contains(r.URL.Path, "/.") {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Cache-Control", cacheControl(r.URL.Path))
		files.ServeHTTP(w, r)
	})
}

func cacheControl(path string) string {
	for _, folder := range []string{"/packs/", "/trees/", "/releases/", "/deltas/"} {
		if strings.HasPrefix(path, folder) {
			return "public, max-age=31536000, immutable"
		}
	}
	return "no-cache"
}
