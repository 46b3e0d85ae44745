package modules

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func sample(t testing.TB) *Index {
	t.Helper()
	x := newIndex()
	x.builtin["ext4"] = true
	for path, info := range map[string]string{
		"fs/btrfs/btrfs.ko":        "softdep=pre: crypto-crc32c pre-of-nothing post: late|alias=fs-btrfs|depends=xor,raid6-pq|license=GPL",
		"lib/raid6/raid6_pq.ko":    "depends=",
		"crypto/xor.ko":            "depends=raid6_pq",
		"crypto/crc32c_generic.ko": "alias=crypto-crc32c|alias=crc32c",
		"arch/crc32c-intel.ko":     "alias=crypto-crc32c|alias=cpu:type:x86,ven*fam*mod*",
		"broken.ko":                "depends=nowhere",
	} {
		if err := x.add(describe(path, strings.Split(info, "|"))); err != nil {
			t.Fatal(err)
		}
	}
	return x
}

func TestOrder(t *testing.T) {
	for name, want := range map[string][]string{
		"btrfs":         {"crypto/crc32c_generic.ko", "lib/raid6/raid6_pq.ko", "crypto/xor.ko", "fs/btrfs/btrfs.ko"},
		"fs-btrfs":      {"crypto/crc32c_generic.ko", "lib/raid6/raid6_pq.ko", "crypto/xor.ko", "fs/btrfs/btrfs.ko"},
		"xor btrfs xor": {"lib/raid6/raid6_pq.ko", "crypto/xor.ko", "crypto/crc32c_generic.ko", "fs/btrfs/btrfs.ko"},
		"crc32c-intel":  {"arch/crc32c-intel.ko"},
		"raid6-pq":      {"lib/raid6/raid6_pq.ko"},
		"ext4":          nil,
	} {
		got, err := sample(t).Order(strings.Fields(name)...)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestOrderOfUnknown(t *testing.T) {
	for name, unknown := range map[string]string{"zfs": "zfs", "broken": "nowhere"} {
		_, err := sample(t).Order(name)
		var e *UnknownError
		if !errors.As(err, &e) || e.Name != unknown {
			t.Errorf("%s: error %v, want that %s is unknown", name, err, unknown)
		}
	}
}

func TestEncodeAndParse(t *testing.T) {
	want := sample(t)
	var text strings.Builder
	if err := want.Encode(&text); err != nil {
		t.Fatal(err)
	}
	got, err := Parse(text.String())
	if err != nil {
		t.Fatal(err)
	}
	var again strings.Builder
	if err := got.Encode(&again); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(text.String(), again.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, damaged := range []string{"a\tb\n", "a\tb\t\t\t\na\tc\t\t\t\n"} {
		if _, err := Parse(damaged); err == nil {
			t.Errorf("%q was taken", damaged)
		}
	}
}

func TestBuildOfNoModules(t *testing.T) {
	dir := t.TempDir()
	if _, err := Build(dir); err == nil {
		t.Error("a folder without modules was taken")
	}
	if err := os.WriteFile(filepath.Join(dir, "text.ko"), []byte("no ELF"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Build(dir); err == nil || !strings.Contains(err.Error(), "text.ko") {
		t.Errorf("a module that is none: %v", err)
	}
}

func ExampleIndex_Order() {
	index, err := Parse("fuse\tfs/fuse.ko\t\t\t\nvirtiofs\tfs/virtiofs.ko\tfuse\t\tfs_virtiofs\n")
	if err != nil {
		fmt.Println(err)
	}
	paths, err := index.Order("fs-virtiofs")
	fmt.Println(paths, err)
	// Output: [fs/fuse.ko fs/virtiofs.ko] <nil>
}
