package erofs

import (
	"bytes"
	"fmt"
	"io"
	"testing"
)

// as many entries as a Debian system's /usr has
func BenchmarkDump(b *testing.B) {
	var dump bytes.Buffer
	dump.WriteString("/ 0 40755 2 0 0 0 0.0 - - -\n")
	for d := range 1500 {
		fmt.Fprintf(&dump, "/dir%04d 0 40755 2 0 0 0 0.0 - - -\n", d)
		for f := range 100 {
			name := fmt.Sprintf("%032x%032x", d, f)
			fmt.Fprintf(&dump, "/dir%04d/file%02d 5000 100644 1 0 0 0 0.0 %s/%s - %s\n", d, f, name[:2], name[2:], name)
		}
	}
	b.SetBytes(int64(dump.Len()))
	for b.Loop() {
		builder := NewBuilder()
		if err := builder.ReadDump(bytes.NewReader(dump.Bytes())); err != nil {
			b.Fatal(err)
		}
		img, err := builder.Finish(Larch)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := img.WriteTo(io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}
