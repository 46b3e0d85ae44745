package content

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/tree"
)

// line is a line of a tree's text, by fields that can hold anything.
type line struct {
	path    string // as it is, to be escaped
	size    string
	mode    string
	nlink   string
	uid     string
	gid     string
	rdev    string
	mtime   string
	payload string
	content string
	digest  string
	xattrs  string // written as they are, each with a space before it
}

func folder(path string) line {
	return line{path, "0", "40755", "1", "0", "0", "0", "0.0", "-", "-", "-", ""}
}

func link(path, target string) line {
	l := folder(path)
	l.size, l.mode, l.payload = fmt.Sprint(len(target)), "120777", escaped(target)
	return l
}

// file is a regular file.
func file(path, data string) line {
	l := folder(path)
	l.size, l.mode = fmt.Sprint(len(data)), "100644"
	switch {
	case len(data) > tree.InlineMax:
		l.digest = digest.Of([]byte(data)).String()
		l.payload = l.digest[:2] + "/" + l.digest[2:]
	case len(data) > 0:
		l.content = escaped(data)
	}
	return l
}

// again is one more name of a file.
func again(first line, path string) line {
	l := first
	l.path, l.mode, l.payload, l.content, l.digest, l.xattrs = path, "@"+first.mode, escaped(first.path), "-", "-", ""
	return l
}

// with changes a copy.
func (l line) with(change func(*line)) line {
	change(&l)
	return l
}

func (l line) String() string {
	return strings.Join([]string{escaped(l.path), l.size, l.mode, l.nlink, l.uid, l.gid, l.rdev, l.mtime, l.payload, l.content, l.digest}, " ") + l.xattrs + "\n"
}

// escaped writes a field as trees do.
func escaped(s string) string {
	if s == "-" {
		return `\x2d`
	}
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case c == '\\':
			b.WriteString(`\\`)
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\r':
			b.WriteString(`\r`)
		case c == '\t':
			b.WriteString(`\t`)
		case c <= ' ' || c > '~':
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// text joins lines as they stand.
func text(lines ...line) []byte {
	var b bytes.Buffer
	for _, l := range lines {
		b.WriteString(l.String())
	}
	return b.Bytes()
}

// application is the text of an application that has these lines below /files, in
// the order in which they stand.
func application(lines ...line) []byte {
	all := append([]line{folder("/"), folder("/export"), folder("/files")}, lines...)
	return text(append(all, file("/metadata", metadata))...)
}

// sorted is application with the lines in the order of trees.
func sorted(lines ...line) []byte {
	sortLines(lines)
	return application(lines...)
}

func sortLines(lines []line) {
	slices.SortStableFunc(lines, func(a, b line) int { return tree.Path(a.path).Compare(tree.Path(b.path)) })
}
