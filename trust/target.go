package trust

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/larch-project/larch/digest"
)

// Target is what signed metadata says about one ref: which release document is
// the newest of that line.
type Target struct {
	Name   string   // the ref: kind/id/arch/channel
	SHA256 [32]byte // of the release document's bytes: TUF's plain hash
	Length int64    // bytes of the release document
	Custom Custom

	// Publisher is the name of the publisher whose key signed it. It follows
	// from where the target was found and is not part of what is written.
	Publisher string
}

// Custom is what a target says besides TUF's own members.
type Custom struct {
	Release digest.Digest // of the release document: its name below releases/
	Version string        // for people, at most 128 bytes
	Title   string        // for people, at most 256 bytes; a stranger's text; may be empty
}

// customText is the written form; its members are in byte order.
type customText struct {
	Release digest.Digest `json:"release"`
	Title   string        `json:"title,omitempty"`
	Version string        `json:"version"`
}

// versionMarks are what a version consists of, so that it is harmless wherever it
// is shown.
const versionMarks = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ._-+~:"

func (t Target) check() error {
	if err := checkRef(t.Name); err != nil {
		return err
	}
	c := t.Custom
	switch {
	case t.Length < 1 || t.Length > maxTarget:
		return fmt.Errorf("target %s: length %d: want 1 to %d", t.Name, t.Length, maxTarget)
	case c.Release.IsZero():
		return fmt.Errorf("target %s: no release", t.Name)
	case c.Version == "" || len(c.Version) > maxPart:
		return fmt.Errorf("target %s: version %.80q: want 1 to %d bytes", t.Name, c.Version, maxPart)
	case strings.Trim(c.Version, versionMarks) != "":
		return fmt.Errorf("target %s: version %.80q: want letters, digits and ._-+~:", t.Name, c.Version)
	case len(c.Title) > maxTitle:
		return fmt.Errorf("target %s: title of %d bytes, limit %d", t.Name, len(c.Title), maxTitle)
	}
	return nil
}

// file gives the written form.
func (t Target) file() (*metadata.TargetFiles, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	text, err := json.Marshal(customText{t.Custom.Release, t.Custom.Title, t.Custom.Version})
	if err != nil {
		return nil, err
	}
	raw := json.RawMessage(text)
	return &metadata.TargetFiles{
		Length: t.Length,
		Hashes: metadata.Hashes{"sha256": t.SHA256[:]},
		Custom: &raw,
	}, nil
}

// targetOf reads the written form. Members of custom that are not known here are
// left alone.
func targetOf(name string, file *metadata.TargetFiles) (Target, error) {
	t := Target{Name: name, Length: file.Length}
	if err := checkHashes(file.Hashes); err != nil {
		return t, fmt.Errorf("target %.200q: %w", name, err)
	}
	copy(t.SHA256[:], file.Hashes["sha256"])
	if file.Custom == nil {
		return t, fmt.Errorf("target %.200q: custom is missing", name)
	}
	var members map[string]json.RawMessage // not a struct: its names would match in any case
	if err := json.Unmarshal(*file.Custom, &members); err != nil {
		return t, fmt.Errorf("target %.200q: custom is not an object", name)
	}
	for member, to := range map[string]any{"release": &t.Custom.Release, "version": &t.Custom.Version, "title": &t.Custom.Title} {
		text, ok := members[member]
		if !ok {
			continue // check says what must be there
		}
		if err := json.Unmarshal(text, to); err != nil {
			return t, fmt.Errorf("target %.200q: custom member %s: %w", name, member, err)
		}
	}
	return t, t.check()
}

// owner is the role whose word on a ref counts, "" for none: the first delegation
// in order that covers the ref and has it; after a terminating one that covers
// it nobody is asked (TUF 5.6.7).
func owner(delegations *metadata.Delegations, docs map[string]*targetsDoc, ref string) string {
	for _, role := range delegations.GetRolesForTarget(ref) {
		if doc := docs[role.Name]; doc != nil && doc.Signed.Targets[ref] != nil {
			return role.Name
		}
		if role.Terminating {
			break
		}
	}
	return ""
}

// publisherOf is the publisher's name in a role's.
func publisherOf(role string) string { return strings.TrimPrefix(role, rolePrefix) }
