package delta_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/larch-project/larch/delta"
)

func Example() {
	old := strings.NewReader(strings.Repeat("A line of a program.\n", 1000))
	new := strings.NewReader(strings.Repeat("A line of a program.\n", 900) + "And another one.\n")
	section := func(r *strings.Reader) *io.SectionReader { return io.NewSectionReader(r, 0, r.Size()) }

	var patch bytes.Buffer
	if err := delta.Encode(context.Background(), &patch, section(old), section(new)); err != nil {
		fmt.Println(err)
		return
	}
	var made strings.Builder
	if err := delta.Decode(context.Background(), &made, section(old), &patch, new.Size()); err != nil {
		fmt.Println(err)
		return
	}
	text := made.String()
	fmt.Print(len(text), " bytes, at the end: ", text[len(text)-17:])
	// Output: 18917 bytes, at the end: And another one.
}
