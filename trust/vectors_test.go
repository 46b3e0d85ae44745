package trust

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const vectorsDir = "../spec/vectors/trust"

// vectors is spec/vectors/trust/vectors.json.
type vectors struct {
	Fingerprints map[string]string // by what they are: a client may start from any
	Targets      map[string]targetVector
	Mirrors      []string
	Documents    []documentVector
}

type targetVector struct {
	Publisher, Version, Release, SHA256 string
	Length                              int64
}

type documentVector struct {
	Name, Kind, Document string
	Expect               string // "ok", or "format"
}

// vectorWorld makes the repository of the vectors: the same bytes each time.
func vectorWorld(t *testing.T) *world {
	w := aged(t)
	w.must(w.open().SetMirrors(t.Context(), w.now, []string{"https://mirror.example/larch/"}))
	w.serve()
	return w
}

// TestVectors keeps the vectors of the specification true, for what is written and
// for what is read. LARCH_TEST_UPDATE=1 writes them anew.
func TestVectors(t *testing.T) {
	w := vectorWorld(t)
	if os.Getenv("LARCH_TEST_UPDATE") != "" {
		for name, data := range w.served {
			writeFile(t, openDir(t, vectorsDir), filepath.Join("repository", name), data)
		}
	}
	written := readAll(t, openDir(t, vectorsDir), "repository")
	if diff := cmp.Diff(written, w.served); diff != "" {
		t.Fatalf("what is written has changed: %s", diff)
	}
	var v vectors
	data, err := os.ReadFile(filepath.Join(vectorsDir, "vectors.json"))
	w.must(err)
	w.must(json.Unmarshal(data, &v))
	w.served = written
	for what, fingerprint := range v.Fingerprints {
		c := w.clientOn(openDir(t, t.TempDir()))
		if err := c.Bootstrap(t.Context(), fingerprint); err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		targets := map[string]targetVector{}
		for ref, target := range c.Targets() {
			targets[ref] = targetVector{
				target.Publisher, target.Custom.Version, target.Custom.Release.String(), hex.EncodeToString(target.SHA256[:]), target.Length,
			}
		}
		if diff := cmp.Diff(v.Targets, targets); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
		if diff := cmp.Diff(v.Mirrors, c.Mirrors()); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
	for _, d := range v.Documents {
		if err := parseKind(d.Kind, []byte(d.Document)); (err == nil) != (d.Expect == "ok") || err != nil && !errors.Is(err, ErrFormat) {
			t.Errorf("%s: have %v, want %s", d.Name, err, d.Expect)
		}
	}
}

func parseKind(kind string, data []byte) (err error) {
	switch kind {
	case "root":
		_, err = parseRoot("root", data)
	case "timestamp":
		_, err = parseTimestamp("timestamp", data)
	case "snapshot":
		_, err = parseSnapshot("snapshot", data)
	case "targets":
		_, err = parseTargets("targets", data)
	case "publisher":
		_, err = parsePublisher("publisher", data)
	default:
		err = errors.New("unknown kind")
	}
	return err
}
