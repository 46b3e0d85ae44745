package trust

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/internal/durable"
)

const (
	floorFile    = "floor.json"
	maxFloor     = 256 << 10
	maxValidator = 1 << 10
)

// floor is what a client remembers besides the documents themselves: versions that
// must not be undercut, so that the loss of one file does not open the way back; and
// the validator for the next conditional request. It is local, and written before
// the documents that raise it.
type floor struct {
	Root int64 `json:"root"`

	// Scope names the keys of timestamp and snapshot under which the versions
	// below count. When the root changes these keys, the versions are forgotten:
	// that is how TUF recovers from a thief who signed absurdly high ones.
	Scope     string           `json:"scope"`
	Timestamp int64            `json:"timestamp"`
	Snapshot  int64            `json:"snapshot"`
	Roles     map[string]int64 `json:"roles,omitempty"` // as the snapshot lists them

	Validator string `json:"validator,omitempty"`
	Of        string `json:"of,omitempty"` // SHA-256 of the timestamp.json that the validator is for

	Sum string `json:"sum,omitempty"` // SHA-256 of all this without it: a damaged floor is none
}

// readFloor gives the zero floor where the file is missing or damaged: the documents
// say then what must not be undercut.
func readFloor(dir *beneath.Dir) floor {
	var f floor
	data, err := dir.ReadFile(floorFile, maxFloor)
	if err != nil || json.Unmarshal(data, &f) != nil {
		return floor{}
	}
	sum := f.Sum
	if f.Sum = ""; sum != f.sum() {
		return floor{}
	}
	return f
}

func (f floor) write(dir *beneath.Dir) error {
	f.Sum = f.sum()
	data, err := json.Marshal(f)
	if err != nil {
		return err
	}
	return durable.WriteFile(dir, floorFile, data, 0o644)
}

// sum is over a floor without one.
func (f floor) sum() string {
	data, err := json.Marshal(f)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func (f floor) equal(other floor) bool {
	same := maps.Equal(f.Roles, other.Roles)
	f.Roles, other.Roles = nil, nil
	return same && f.Root == other.Root && f.Scope == other.Scope && f.Timestamp == other.Timestamp &&
		f.Snapshot == other.Snapshot && f.Validator == other.Validator && f.Of == other.Of
}

// under forgets versions that count for other keys than those of this root.
func (f floor) under(root *rootDoc) floor {
	if scope := scopeOf(root); f.Scope != scope {
		return floor{Root: f.Root, Scope: scope}
	}
	return f
}

// scopeOf names the keys and thresholds of timestamp and snapshot.
func scopeOf(root *rootDoc) string {
	h := sha256.New()
	for _, name := range []string{metadata.TIMESTAMP, metadata.SNAPSHOT} {
		role := root.Signed.Roles[name]
		fmt.Fprintln(h, name, role.Threshold, strings.Join(slices.Sorted(slices.Values(role.KeyIDs)), " "))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// raise takes up the versions of a head that was verified.
func (f *floor) raise(head *timestampDoc) {
	f.Timestamp = max(f.Timestamp, head.Signed.Version)
	f.Snapshot = max(f.Snapshot, head.Signed.Meta[listed(metadata.SNAPSHOT)].Version)
}

// checkHead refuses a head below the floor.
func (f floor) checkHead(head *timestampDoc) error {
	file := published(timestampFile)
	if head.Signed.Version < f.Timestamp {
		return problem(file, ErrRollback, "version %d, and %d was seen before", head.Signed.Version, f.Timestamp)
	}
	if v := head.Signed.Meta[listed(metadata.SNAPSHOT)].Version; v < f.Snapshot {
		return problem(file, ErrRollback, "it leads to snapshot version %d, and %d was seen before", v, f.Snapshot)
	}
	return nil
}

// checkSnapshot refuses a snapshot below the floor, or one that drops a file.
func (f floor) checkSnapshot(snapshot *snapshotDoc) error {
	file := published(versioned(metadata.SNAPSHOT, snapshot.Signed.Version))
	for name, version := range f.Roles {
		meta := snapshot.Signed.Meta[name]
		if meta == nil {
			return problem(file, ErrRollback, "it does not list %q any more", name)
		}
		if meta.Version < version {
			return problem(file, ErrRollback, "it lists %q of version %d, and %d was seen before", name, meta.Version, version)
		}
	}
	return nil
}
