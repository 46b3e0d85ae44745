package erofs

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/larch-project/larch/digest"
)

// versionOptions are all ways to ask for a version.
var versionOptions = [][]string{
	{}, {"--min-version=0"}, {"--min-version=1"}, {"--max-version=0"}, {"--max-version=1"},
	{"--min-version=0", "--max-version=0"}, {"--min-version=0", "--max-version=1"},
	{"--min-version=1", "--max-version=1"}, {"--min-version=1", "--max-version=0"},
}

// TestUpstream compares what becomes of random dumps with what upstream's tool makes of
// them: the same image, or none, but for what it takes by mistake. LARCH_MKCOMPOSEFS names
// the tool, which few distributions have: scripts/composefs.sh fetches it. Without it the
// vectors stand for it.
func TestUpstream(t *testing.T) {
	tool := os.Getenv("LARCH_MKCOMPOSEFS")
	if tool == "" {
		return
	}
	seed, dumps := rand.Uint64(), 500
	if os.Getenv("LARCH_TEST_LONG") != "" {
		dumps = 20_000
	}
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	images := 0
	for n := range dumps {
		dump, options := randomDump(r), versionOptions[r.IntN(len(versionOptions))]
		want := upstream(t, tool, dump, options)
		_, data, err := made(dump, optionsOf(options))
		switch {
		case errors.Is(err, errMistake), errors.Is(err, ErrTooLarge):
		case err != nil && want != "":
			t.Fatalf("dump %d with %q: refused, %v\n%.2000q", n, options, err, dump)
		case err == nil && digest.Of(data).String() != want:
			t.Fatalf("dump %d with %q: another image, upstream's %q\n%.2000q", n, options, want, dump)
		case err == nil:
			images++
		}
	}
	if images < dumps/2 {
		t.Errorf("%d images of %d dumps", images, dumps)
	}
}

// upstream gives the digest of upstream's image, or "" if it refuses the dump.
func upstream(t *testing.T, tool string, dump []byte, options []string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), tool, append(options, "--from-file", "--print-digest-only", "-")...)
	cmd.Stdin = bytes.NewReader(dump)
	out, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
		t.Fatalf("mkcomposefs: %v, of\n%.2000q", err, dump)
	}
	return strings.TrimSpace(string(out))
}
