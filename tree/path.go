package tree

import (
	"strings"
)

// Limits of names and paths, in bytes and in names.
const (
	MaxName  = 255  // bytes of one name
	MaxPath  = 4095 // bytes of a path
	MaxDepth = 256  // names in a path
)

// Path is where an entry is in its tree: "/" or "/a/b". It is bytes, in no
// particular encoding: quote it when it is printed.
type Path string

// Base gives the last name, "" for the root.
func (p Path) Base() string { return string(p[strings.LastIndexByte(string(p), '/')+1:]) }

// Parent gives the directory that p is in. The root is in itself.
func (p Path) Parent() Path {
	if i := strings.LastIndexByte(string(p), '/'); i > 0 {
		return p[:i]
	}
	return "/"
}

// Join gives the path of a name in the directory p.
func (p Path) Join(name string) Path {
	if p == "/" {
		return Path("/" + name)
	}
	return p + "/" + Path(name)
}

// Compare gives the order of a tree: a directory before what is in it, that
// before the next sibling, siblings by the bytes of their names.
func (p Path) Compare(q Path) int {
	n := min(len(p), len(q))
	for i := range n {
		if p[i] != q[i] {
			return int(rank(p, i)) - int(rank(q, i))
		}
	}
	return len(p) - len(q)
}

// rank makes the end of a name smaller than any byte of one, for no name has a
// NUL in it.
func rank(p Path, i int) byte {
	if p[i] == '/' {
		return 0
	}
	return p[i]
}

// Check tells whether an entry of a tree may have this path; the error is a
// *RuleError.
func (p Path) Check() error {
	if v := checkPath(p); v != nil {
		return v.at(0, p)
	}
	return nil
}

// Within tells whether p is somewhere below the directory dir.
func (p Path) Within(dir Path) bool {
	if dir == "/" {
		return len(p) > 1
	}
	return len(p) > len(dir) && p[len(dir)] == '/' && p[:len(dir)] == dir
}

// childOf gives the name in the directory dir by which p, somewhere below it, is
// reached.
func (p Path) childOf(dir Path) string {
	rest := p[len(dir):]
	if dir != "/" {
		rest = rest[1:]
	}
	name, _, _ := strings.Cut(string(rest), "/")
	return name
}

// checkPath applies the rule for names and paths.
func checkPath(p Path) *RuleError {
	switch {
	case p == "/":
		return nil
	case p == "" || p[0] != '/':
		return violation(RuleNames, "the path does not begin with /")
	case len(p) > MaxPath:
		return violation(RuleNames, "the path has %d bytes; at most %d may be", len(p), MaxPath)
	}
	rest, depth := string(p[1:]), 0
	for more := true; more; depth++ {
		var name string
		name, rest, more = strings.Cut(rest, "/")
		if v := checkName(name); v != nil {
			return v
		}
	}
	if depth > MaxDepth {
		return violation(RuleNames, "the path has %d names; at most %d may be", depth, MaxDepth)
	}
	return nil
}

func checkName(name string) *RuleError {
	switch {
	case name == "":
		return violation(RuleNames, "an empty name in the path")
	case name == "." || name == "..":
		return violation(RuleNames, "a name is %q", name)
	case len(name) > MaxName:
		return violation(RuleNames, "a name has %d bytes; at most %d may be", len(name), MaxName)
	case strings.IndexByte(name, 0) >= 0:
		return violation(RuleNames, "a NUL byte in a name")
	}
	return nil
}
