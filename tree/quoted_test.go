package tree

import (
	"strings"
	"testing"
)

func TestQuotedPathsAreShort(t *testing.T) {
	for _, p := range []Path{
		"/a", "", Path(strings.Repeat("a", 300)), Path(strings.Repeat("a", 5000)), Path(strings.Repeat("\xff", 4095)),
		Path("/" + strings.Repeat("\U000e0001", 1000)), Path(strings.Repeat("\n", 200)),
	} {
		q := p.Quoted()
		if len(q) > 340 || strings.ContainsAny(q, "\n\xff") || len(p) < 50 && q != `"`+string(p)+`"` {
			t.Errorf("%d bytes: %d: %s", len(p), len(q), q)
		}
	}
}
