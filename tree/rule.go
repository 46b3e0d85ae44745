package tree

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// The numbers of the rules in spec/2-tree.md. F rules are about the form of any
// tree, R rules about what a kind of release may contain.
const (
	RuleLines     = "F1"  // lines and their length
	RuleCanonical = "F2"  // fields, and their one spelling
	RuleNumbers   = "F3"  // ranges of numbers
	RuleNames     = "F4"  // names and paths
	RuleOrder     = "F5"  // order of entries, parents, duplicates
	RuleKinds     = "F6"  // kinds of entries
	RuleDirectory = "F7"  // shape of directories
	RuleSymlink   = "F8"  // shape of symlinks
	RuleRegular   = "F9"  // shape of regular files
	RuleHardlink  = "F10" // hardlinks and counts of names
	RuleXattrs    = "F11" // shape of extended attributes
	RuleTotals    = "F12" // limits of a whole tree

	RuleControl    = "R1" // no control bytes in names
	RuleSpecial    = "R2" // no devices, fifos or sockets
	RuleOwner      = "R3" // applications belong to root
	RulePrivilege  = "R4" // no setuid, setgid, sticky or world-writable files in applications
	RuleModes      = "R5" // 0755 and 0644 in applications
	RuleNamespaces = "R6" // which extended attributes travel
	RuleOverlay    = "R7" // no marks of overlayfs
)

// ErrFormat is matched by every error that means "this is not a tree in its
// canonical form": a *RuleError with an F rule.
var ErrFormat = errors.New("not a canonical tree")

// RuleError says which rule of spec/2-tree.md a tree, or something that should
// become one, breaks, and where.
type RuleError struct {
	Line    int64  // of the tree's text, from 1; 0 where there is no text
	Path    Path   // of the entry; "" if it could not be read
	Rule    string // one of the Rule constants
	Problem string // what is wrong, for people
	Fix     string // what a publisher can do about it; may be ""
}

func (e *RuleError) Error() string {
	var b strings.Builder
	if e.Line > 0 {
		fmt.Fprintf(&b, "line %d of the tree: ", e.Line)
	}
	if e.Path != "" {
		fmt.Fprintf(&b, "%s: ", e.Path.Quoted())
	}
	fmt.Fprintf(&b, "%s (rule %s of spec/2-tree.md)", e.Problem, e.Rule)
	if e.Fix != "" {
		b.WriteString("; " + e.Fix)
	}
	return b.String()
}

// Quoted gives a path for a message: escaped, and not too long, about 320 characters.
func (p Path) Quoted() string {
	const enough = 300
	n := min(len(p), enough)
	text := strconv.Quote(string(p[:n]))
	for len(text) > enough+2 { // escapes take up to four times as much
		n -= n/4 + 1
		text = strconv.Quote(string(p[:n]))
	}
	if n < len(p) {
		return fmt.Sprintf("%s... (%d bytes)", text, len(p))
	}
	return text
}

// Is makes errors.Is(err, ErrFormat) hold for the F rules.
func (e *RuleError) Is(target error) bool {
	return target == ErrFormat && strings.HasPrefix(e.Rule, "F")
}

// violation begins a RuleError; whoever knows where it happened fills in the rest.
func violation(rule, problem string, args ...any) *RuleError {
	return &RuleError{Rule: rule, Problem: fmt.Sprintf(problem, args...)}
}

// at says at which entry the rule was broken.
func (e *RuleError) at(line int64, p Path) *RuleError {
	e.Line, e.Path = line, p
	return e
}

func (e *RuleError) fix(fix string) *RuleError {
	e.Fix = fix
	return e
}
