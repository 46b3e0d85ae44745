package fuse

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCacheKeepsWhatWasUsedLast(t *testing.T) {
	var dropped []string
	c := newCache[string](10, func(v string) { dropped = append(dropped, v) })
	c.put("a", "a", 4)
	c.put("b", "b", 4)
	c.get("a")
	c.put("c", "c", 4)
	c.put("a", "A", 2)
	c.put("large", "large", 20) // alone, but kept
	c.remove("none")
	if d := cmp.Diff([]string{"b", "a", "c", "A"}, dropped); d != "" {
		t.Errorf("dropped, -want +have:\n%s", d)
	}
	if v, ok := c.get("large"); !ok || v != "large" || c.size != 20 {
		t.Errorf("%q, %v, size %d", v, ok, c.size)
	}
}
