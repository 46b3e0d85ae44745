package deploytest

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/pagecache"
)

// what one deployment reads is in memory for another, if that is promised
func (s suite) cacheShared(t *testing.T) {
	site, _ := s.site(t)
	if promised, have := s.backend.Probe(t.Context(), site).SharesCache, s.sharesCache(t); promised != have {
		t.Errorf("shared: %v; it says %v", have, promised)
	}
}

// sharesCache measures what of a second deployment's file is resident after the
// first's, which is equal, was read.
func (s suite) sharesCache(t *testing.T) bool {
	t.Helper()
	site, contents := s.site(t)
	large := content("large", 8<<20)
	one := NewRelease().Dir("/a").File("/a/large", large).spec(t, "one", contents)
	two := NewRelease().Dir("/b").File("/b/other", large).spec(t, "two", contents)
	for _, name := range []string{one.Name, two.Name} {
		spec := one
		if name == two.Name {
			spec = two
		}
		if err := s.backend.Make(t.Context(), site, spec); err != nil {
			t.Fatal(err)
		}
	}
	first, second := s.open(t, site, one.Name), s.open(t, site, two.Name)
	defer first.Close()
	defer second.Close()
	for _, executable := range []bool{false, true} {
		evict(t, filepath.Join(site.Root.Path(), path(digest.Of(large), executable)))
	}
	resident := func() (percent int) {
		out, err := inside(t, second, nil, "deploytest-resident", filepath.Join(second.Path, "b/other"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Sscan(string(out), &percent); err != nil {
			t.Fatal(err)
		}
		return percent
	}
	if before := resident(); before > 10 {
		t.Skipf("%d %% of the file are in memory before it is read: this file system cannot show it", before)
	}
	if data, err := read(t, first, "a/large"); err != nil || len(data) != len(large) {
		t.Fatalf("%d bytes, error %v", len(data), err)
	}
	percent := resident()
	t.Logf("%d %% of the second deployment's file are in memory after the first's was read", percent)
	return percent > 90
}

// evict takes a file out of memory.
func evict(t *testing.T, name string) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		t.Fatal(err)
	}
}

// residentCommand prints how many percent of a file are in memory.
func residentCommand(args []string) error {
	f, err := os.Open(args[0])
	if err != nil {
		return err
	}
	defer f.Close()
	there, all, err := pagecache.Resident(f)
	if err != nil {
		return err
	}
	_, err = fmt.Println(100 * there / all)
	return err
}
