package erofs

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/larch-project/larch/digest"
)

// TestUpstream compares images of random trees with those that upstream's tool makes,
// where LARCH_MKCOMPOSEFS names it: few distributions have it. Without it the vectors
// stand for it.
func TestUpstream(t *testing.T) {
	tool := os.Getenv("LARCH_MKCOMPOSEFS")
	if tool == "" {
		return
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	name := filepath.Join(t.TempDir(), "dump")
	for range 100 {
		dump := dumpOf(randomTree(r))
		if err := os.WriteFile(name, dump, 0o600); err != nil {
			t.Fatal(err)
		}
		want, err := exec.Command(tool, "--from-file", "--min-version=1", "--print-digest-only", name).Output()
		if err != nil {
			t.Fatalf("mkcomposefs: %v", err)
		}
		_, data, err := made(dump, Larch)
		if err != nil {
			t.Fatal(err)
		}
		if have := digest.Of(data).String(); have != strings.TrimSpace(string(want)) {
			t.Fatalf("digest %s, upstream's %s, of\n%s", have, want, dump)
		}
	}
}

// dumpOf writes entries as a dump.
func dumpOf(nodes []Node) []byte {
	var b bytes.Buffer
	for _, n := range nodes {
		if n.Link != "" {
			fmt.Fprintf(&b, "%s 0 @100644 1 0 0 0 0.0 %s - -\n", escape(n.Path), escape(n.Link))
			continue
		}
		payload, content, sum := "-", "-", "-"
		if p := n.Target + n.Object; p != "" {
			payload = escape(p)
		}
		if len(n.Content) > 0 {
			content = escape(string(n.Content))
		}
		if n.Measured {
			sum = n.Digest.String()
		}
		fmt.Fprintf(&b, "%s %d %o %d %d %d %d %d.%d %s %s %s", escape(n.Path), n.Size, n.Mode, n.Nlink, n.UID, n.GID, n.Rdev, n.Sec, n.Nsec, payload, content, sum)
		for _, x := range n.Xattrs {
			fmt.Fprintf(&b, " %s=%s", escape(x.Name), escape(string(x.Value)))
		}
		b.WriteByte('\n')
	}
	return b.Bytes()
}

func escape(s string) string {
	var b strings.Builder
	for k := range len(s) {
		if c := s[k]; c > ' ' && c < 0x7f && c != '\\' && c != '=' && s != "-" {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, `\x%02x`, c)
		}
	}
	return b.String()
}
