package content

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/release"
	"github.com/larch-project/larch/repo"
	"github.com/larch-project/larch/tree"
	"github.com/larch-project/larch/trust"
)

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

const appID = "org.example.Hello"

var hello = release.Ref{Kind: release.App, ID: appID, Arch: release.HostArch(), Channel: "stable"}

// files are what a folder holds: names and contents. Names below bin/ get the run bit.
type files map[string]string

// folder gives a folder that holds them.
func (f files) folder(t testing.TB) string {
	t.Helper()
	dir := quick(t)
	for name, text := range f {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		mode := os.FileMode(0o644)
		if strings.Contains("/"+name, "/bin/") {
			mode = 0o755
		}
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// quick gives an empty folder: in memory where that is possible, since barriers are
// what takes time.
func quick(t testing.TB) string {
	t.Helper()
	path, err := os.MkdirTemp("/dev/shm", "larch-attack-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(path) })
	return path
}

// noise gives bytes that do not compress, the same for the same seed.
func noise(seed uint64, n int) string {
	p := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16)}).Read(p)
	return string(p)
}

// program is an application of some small and one large file.
func program(version string) files {
	return files{
		"metadata":            metadata,
		"files/bin/hello":     "#!/bin/sh\necho hello " + version + "\n# " + strings.Repeat(version+" ", 50),
		"files/share/version": version,
		"files/share/same":    noise(1, 3000),
		"files/share/other":   noise(uint64(len(version)), 200) + version,
		"files/share/large":   noise(2, 1<<20) + version + noise(3, 400<<10),
	}
}

var metadata = string(release.NewMetadata(appID, "host", "hello"))

// publisher is a repository whose keys the attacker has. Its line has two honest
// releases; which of them, or what else, is signed for changes.
type publisher struct {
	path        string
	repo        *repo.Repository
	keys        *trust.KeyStore
	fingerprint string
	start       time.Time // when the repository was made
	now         time.Time // of the next release
	first, next *repo.Published
	signed      trust.Target      // what the head says now
	old         []byte            // text of the first tree
	contents    map[string][]byte // of both, and of lies, by their bytes' digest
}

func newPublisher(t testing.TB) *publisher { return newPublisherAt(t, now) }

// newPublisherAt makes one at another time: the real command has the real clock.
func newPublisherAt(t testing.TB, start time.Time) *publisher {
	t.Helper()
	p := &publisher{path: filepath.Join(quick(t), "repo"), start: start, now: start, contents: map[string][]byte{}}
	var err error
	if p.repo, err = repo.Init(p.path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.repo.Close() })
	if p.keys, _, err = trust.NewKeyStore(quick(t), nil, false); err != nil {
		t.Fatal(err)
	}
	if p.fingerprint, err = trust.Init(t.Context(), p.repo.Dir(), p.keys, trust.InitOptions{Now: start}); err != nil {
		t.Fatal(err)
	}
	p.first = p.publish(t, "1", program("1"))
	p.next = p.publish(t, "2", program("2"))
	p.old = p.text(t, p.first.Tree)
	p.sign(t, p.first.Signature)
	return p
}

// publish publishes a folder as it should be.
func (p *publisher) publish(t testing.TB, version string, content files) *repo.Published {
	t.Helper()
	source, err := tree.Folder(content.folder(t), tree.ApplicationRules())
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	for _, text := range content {
		p.keep([]byte(text))
	}
	p.now = p.now.Add(time.Minute)
	done, err := p.repo.Publish(t.Context(), p.keys, repo.PublishRequest{
		Ref: hello, Version: version, Source: source, Now: p.now, Deltas: repo.DeltaOptions{Budget: time.Hour},
	})
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// keep remembers a content, so that lies can hold it.
func (p *publisher) keep(data []byte) digest.Digest {
	d := digest.Of(data)
	p.contents[d.String()] = data
	return d
}

// sign makes the line's newest release what target says.
func (p *publisher) sign(t testing.TB, target trust.Target) {
	t.Helper()
	head, err := trust.Open(p.repo.Dir(), p.keys)
	if err != nil {
		t.Fatal(err)
	}
	p.now, p.signed = p.now.Add(time.Second), target
	if err := head.Commit(t.Context(), p.now, func(edit *trust.Edit) error { return edit.Set(target) }); err != nil {
		t.Fatal(err)
	}
}

// signDocument makes these bytes the line's newest release document.
func (p *publisher) signDocument(t testing.TB, data []byte, version string) digest.Digest {
	t.Helper()
	d := digest.Of(data)
	p.write(t, repo.ReleaseName(d), data)
	target := p.next.Signature
	target.SHA256, target.Length, target.Custom.Release, target.Custom.Version = sha256.Sum256(data), int64(len(data)), d, version
	p.sign(t, target)
	return d
}

// honest is what heals: the second release is the newest.
func (p *publisher) honest(t testing.TB) { p.sign(t, p.next.Signature) }

// write puts a file of the repository in place.
func (p *publisher) write(t testing.TB, name string, data []byte) {
	t.Helper()
	path := filepath.Join(p.path, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// text gives the text of a tree that the repository has.
func (p *publisher) text(t testing.TB, info tree.Info) []byte {
	t.Helper()
	var text strings.Builder
	enc := tree.NewEncoder(&text)
	for e, err := range p.repo.Tree(info) {
		if err == nil {
			err = enc.Write(e)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := enc.Close(); err != nil {
		t.Fatal(err)
	}
	return []byte(text.String())
}

// document gives the release document of what was published.
func (p *publisher) document(t testing.TB, d digest.Digest) *release.Release {
	t.Helper()
	rel, err := p.repo.Release(d)
	if err != nil {
		t.Fatal(err)
	}
	return rel
}

// background is for what has no test's context, as in clean-ups.
func background() context.Context { return context.Background() }

// name gives text that is safe as a subtest's name.
func name(format string, args ...any) string {
	return strings.ReplaceAll(fmt.Sprintf(format, args...), "/", "|")
}

// clock is a machine's, a day after the repository was made.
func (p *publisher) clock() time.Time { return p.start.Add(24 * time.Hour) }
