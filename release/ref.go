package release

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
)

// Kind says what a release is for.
type Kind string

// The kinds of release.
const (
	App       Kind = "app"
	Runtime   Kind = "runtime"
	Extension Kind = "extension"
	OS        Kind = "os"
)

// ErrRef is matched by every error about the form of a ref.
var ErrRef = errors.New("not a ref")

// maxID and maxPart bound the parts of a ref, in bytes.
const (
	maxID   = 128
	maxPart = 64
)

// Ref names a line of releases: kind/id/arch/channel. The zero Ref names none.
type Ref struct {
	Kind    Kind
	ID      string // reverse-DNS, such as org.example.Editor
	Arch    string // as uname -m says it: x86_64, aarch64
	Channel string // such as stable
}

// ParseRef reads the form that String writes, and nothing else.
func ParseRef(s string) (Ref, error) {
	parts := strings.Split(s, "/")
	if len(parts) != 4 {
		return Ref{}, fmt.Errorf("%w: %.200q: want kind/id/arch/channel, such as app/org.example.Editor/x86_64/stable", ErrRef, s)
	}
	r := Ref{Kind(parts[0]), parts[1], parts[2], parts[3]}
	return r, r.check()
}

func (r Ref) check() error {
	switch r.Kind {
	case App, Runtime, Extension, OS:
	default:
		return fmt.Errorf("%w: kind %.80q: want app, runtime, extension or os", ErrRef, string(r.Kind))
	}
	if err := checkPart("id", r.ID, maxID); err != nil {
		return err
	}
	if !strings.Contains(r.ID, ".") {
		return fmt.Errorf("%w: id %.200q: want a name with a dot, such as org.example.Editor", ErrRef, r.ID)
	}
	if err := checkPart("architecture", r.Arch, maxPart); err != nil {
		return err
	}
	return checkPart("channel", r.Channel, maxPart)
}

// checkPart keeps to letters, digits and "._-", a letter or digit first, so that
// a part is safe as a file name, an argument and a pattern.
func checkPart(what, s string, limit int) error {
	if err := checkWord(what, s, "._-", limit); err != nil {
		return fmt.Errorf("%w: %w", ErrRef, err)
	}
	return nil
}

// checkWord wants letters, digits and, not in front and no dot behind another or
// at the end, the given marks.
func checkWord(what, s, marks string, limit int) error {
	bad := s == "" || len(s) > limit || strings.Contains(s, "..") || strings.HasSuffix(s, ".")
	for i := range len(s) {
		c := s[i]
		alphanumeric := '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !alphanumeric && (i == 0 || !strings.ContainsRune(marks, rune(c))) {
			bad = true
		}
	}
	if bad {
		return fmt.Errorf("%s %.80q: want 1 to %d letters, digits and %q, a letter or digit first, dots alone and inside", what, s, limit, marks)
	}
	return nil
}

// ErrVersion is matched by every error about the form of a version.
var ErrVersion = errors.New("not a version")

// CheckVersion tells whether s can be a release's version.
func CheckVersion(s string) error {
	if err := checkWord("version", s, "._-+~:", maxPart); err != nil {
		return fmt.Errorf("%w: %w", ErrVersion, err)
	}
	return nil
}

// String gives kind/id/arch/channel.
func (r Ref) String() string {
	return string(r.Kind) + "/" + r.ID + "/" + r.Arch + "/" + r.Channel
}

// IsZero tells whether r names nothing.
func (r Ref) IsZero() bool { return r == Ref{} }

// Name is the last part of the id in lower case: the shortest name that people use.
func (r Ref) Name() string {
	return strings.ToLower(r.ID[strings.LastIndex(r.ID, ".")+1:])
}

// Matches tells whether a short form names r: the whole ref, its id or the last
// part of its id (whatever the case), each alone or with a leading kind or
// trailing arch and channel: editor, org.example.Editor, app/editor,
// editor/x86_64/beta, editor//beta.
func (r Ref) Matches(short string) bool {
	parts := strings.Split(short, "/")
	if len(parts) > 1 && parts[0] == string(r.Kind) {
		parts = parts[1:]
	}
	if len(parts) > 3 || parts[0] == "" {
		return false
	}
	if parts[0] != r.ID && !strings.EqualFold(parts[0], r.Name()) {
		return false
	}
	return (len(parts) < 2 || parts[1] == "" || parts[1] == r.Arch) &&
		(len(parts) < 3 || parts[2] == "" || parts[2] == r.Channel)
}

// MarshalText implements encoding.TextMarshaler.
func (r Ref) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler; it is as strict as ParseRef.
func (r *Ref) UnmarshalText(text []byte) (err error) {
	*r, err = ParseRef(string(text))
	return err
}

// HostArch is this machine's architecture, as refs write it.
func HostArch() string {
	switch runtime.GOARCH {
	case "amd64":
		return "x86_64"
	case "arm64":
		return "aarch64"
	case "386":
		return "i686"
	}
	return runtime.GOARCH
}

// Errors of Resolve that callers decide on.
var (
	ErrUnknownRef = errors.New("no such ref")
	ErrAmbiguous  = errors.New("stands for several refs")
)

// Resolve finds the one ref that a full or short name stands for. Of several that
// differ in the architecture alone, that of this machine is meant, and of several
// that differ in the kind, the application.
func Resolve(refs []Ref, short string) (Ref, error) {
	if full, err := ParseRef(short); err == nil {
		if slices.Contains(refs, full) {
			return full, nil
		}
		return Ref{}, fmt.Errorf("%.200q: %w", short, ErrUnknownRef)
	}
	found := slices.DeleteFunc(slices.Clone(refs), func(r Ref) bool { return !r.Matches(short) })
	for _, prefer := range []func(Ref) bool{
		func(r Ref) bool { return r.Arch == HostArch() },
		func(r Ref) bool { return r.Kind == App },
	} {
		if len(found) > 1 && slices.ContainsFunc(found, prefer) {
			found = slices.DeleteFunc(found, func(r Ref) bool { return !prefer(r) })
		}
	}
	switch len(found) {
	case 0:
		return Ref{}, fmt.Errorf("%.200q: %w", short, ErrUnknownRef)
	case 1:
		return found[0], nil
	}
	slices.SortFunc(found, func(a, b Ref) int { return strings.Compare(a.String(), b.String()) })
	return Ref{}, fmt.Errorf("%.200q %w: %s, %s", short, ErrAmbiguous, found[0], found[1])
}
