package erofs

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/larch-project/larch/digest"
)

// vectors are what upstream's tool makes; testdata/README.md.
type vectors struct {
	Images []struct {
		Tag      string
		Dump     string
		Options  []string
		Version  int `json:"composefs_version"`
		Inodes   int
		Size     int64
		SHA256   string
		FSVerity string
	}
	Reject []struct {
		Name    string
		Exit    int
		Message string
	}
	Filter []struct {
		Name   string
		Index  uint8
		Suffix string
		XXH32  uint32
		Bit    int
	}
}

func readVectors(t testing.TB) (v vectors) {
	data, err := os.ReadFile("testdata/vectors.json")
	if err == nil {
		err = json.Unmarshal(data, &v)
	}
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func unzipped(t testing.TB, name string) []byte {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name+".gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// made makes the image of a dump.
func made(dump []byte, opt Options) (*Image, []byte, error) {
	b := NewBuilder()
	if err := b.ReadDump(bytes.NewReader(dump)); err != nil {
		return nil, nil, err
	}
	img, err := b.Finish(opt)
	if err != nil {
		return nil, nil, err
	}
	var out bytes.Buffer
	if n, err := img.WriteTo(&out); err != nil || n != img.Size() || int64(out.Len()) != n {
		return nil, nil, errors.Join(err, errors.New("the size is not what was said"))
	}
	return img, out.Bytes(), nil
}

func optionsOf(text []string) Options {
	opt := Options{MaxVersion: 1}
	if len(text) > 0 {
		opt.MaxVersion = 0
	}
	for _, o := range text {
		switch o {
		case "--min-version=1":
			opt.MinVersion = 1
		case "--max-version=1":
			opt.MaxVersion = 1
		}
	}
	return opt
}

func TestImages(t *testing.T) {
	for _, v := range readVectors(t).Images {
		t.Run(v.Tag, func(t *testing.T) {
			img, data, err := made(unzipped(t, "dumps/"+v.Dump+".dump"), optionsOf(v.Options))
			if err != nil {
				t.Fatal(err)
			}
			if img.Version() != v.Version || img.Inodes() != v.Inodes || img.Size() != v.Size {
				t.Errorf("version %d, %d inodes, %d bytes; want %d, %d, %d", img.Version(), img.Inodes(), img.Size(), v.Version, v.Inodes, v.Size)
			}
			if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != v.SHA256 {
				t.Errorf("another image")
			}
			if have := digest.Of(data).String(); have != v.FSVerity {
				t.Errorf("digest %s, want %s", have, v.FSVerity)
			}
		})
	}
}

// Inputs that upstream refuses are refused, and those that it takes by mistake, which
// the error says.
func TestRejects(t *testing.T) {
	for _, v := range readVectors(t).Reject {
		t.Run(v.Name, func(t *testing.T) {
			_, _, err := made(unzipped(t, "reject/"+v.Name+".dump"), Options{MaxVersion: 1})
			good, mistake := strings.HasSuffix(v.Name, "-OK"), strings.HasSuffix(v.Name, "-ACCEPTED")
			switch {
			case good && err != nil:
				t.Errorf("refused: %v", err)
			case !good && !errors.Is(err, ErrFormat) && !errors.Is(err, ErrTooLarge), errors.Is(err, errMistake) != mistake:
				t.Errorf("error %v; upstream says %q", err, v.Message)
			}
		})
	}
}

func TestFilter(t *testing.T) {
	for _, v := range readVectors(t).Filter {
		a := newAttribute(v.Name)
		if a.index != v.Index || a.suffix != v.Suffix || xxh32(a.suffix, filterSeed+uint32(a.index)) != v.XXH32 || a.filter != 1<<v.Bit {
			t.Errorf("%s: %+v", v.Name, a)
		}
	}
}

func FuzzDump(f *testing.F) {
	for _, v := range readVectors(f).Images {
		if dump := unzipped(f, "dumps/"+v.Dump+".dump"); len(dump) < 10_000 {
			f.Add(dump)
		}
	}
	f.Fuzz(func(t *testing.T, dump []byte) {
		for version := range 2 {
			_, data, err := made(dump, Options{version, 1})
			if err != nil {
				if !errors.Is(err, ErrFormat) && !errors.Is(err, ErrTooLarge) {
					t.Fatal(err)
				}
				continue
			}
			if _, err := readImage(data); err != nil {
				t.Fatalf("an image that cannot be read: %v", err)
			}
		}
	})
}
