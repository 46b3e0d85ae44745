package trust

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// HeadName is the file that leads to all others of the metadata: the one name whose
// content changes.
const HeadName = "timestamp.json"

// MaxHead bounds it, in bytes.
const MaxHead = maxTimestamp

const (
	folder        = "trust" // of a repository
	timestampFile = HeadName
	lockFile      = ".lock"
	rolePrefix    = "publisher-"
)

// versioned names the file of one version of a role.
func versioned(role string, version int64) string {
	return strconv.FormatInt(version, 10) + "." + role + ".json"
}

// listed is how a snapshot names a role.
func listed(role string) string { return role + ".json" }

// published is where a file of the trust folder is within a repository.
func published(name string) string { return folder + "/" + name }

// parseVersioned reads what versioned writes, and nothing else.
func parseVersioned(name string) (role string, version int64, ok bool) {
	digits, rest, found := strings.Cut(name, ".")
	role, suffixed := strings.CutSuffix(rest, ".json")
	version, err := strconv.ParseInt(digits, 10, 64)
	if !found || !suffixed || err != nil || version < 1 || version > maxVersion || !isRole(role) || name != versioned(role, version) {
		return "", 0, false
	}
	return role, version, true
}

// isRole tells whether a role has files of its own with versions: only such
// names ever become file names.
func isRole(role string) bool {
	switch role {
	case metadata.ROOT, metadata.SNAPSHOT, metadata.TARGETS:
		return true
	}
	return isPublisherRole(role)
}

func isPublisherRole(role string) bool {
	name, ok := strings.CutPrefix(role, rolePrefix)
	return ok && checkPublisherName(name) == nil
}

// checkPublisherName keeps publishers' names safe as parts of file names.
func checkPublisherName(name string) error {
	if name == "" || len(name) > maxName || name[0] == '-' || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return fmt.Errorf("publisher %.80q: want 1 to %d of a-z, 0-9 and '-', a letter or digit first", name, maxName)
	}
	return nil
}

// checkRef keeps targets' names to the form of refs: kind/id/arch/channel.
func checkRef(name string) error { return checkParts("target", name, "") }

// checkPattern allows '*' and '?' within the parts of a ref.
func checkPattern(pattern string) error { return checkParts("pattern", pattern, "*?") }

func checkParts(what, text, wild string) error {
	parts := strings.Split(text, "/")
	if len(parts) != 4 {
		return fmt.Errorf("%s %.200q: want four parts, kind/id/arch/channel", what, text)
	}
	for _, part := range parts {
		if part == "" || len(part) > maxPart {
			return fmt.Errorf("%s %.200q: want parts of 1 to %d characters", what, text, maxPart)
		}
		for i := range len(part) {
			if !strings.ContainsRune(wild, rune(part[i])) && !plain(part[i], i == 0) {
				return fmt.Errorf("%s %.200q: want letters, digits, '.', '_' and '-', a letter or digit first in each part", what, text)
			}
		}
	}
	return nil
}

// plain tells whether c may stand in a ref, at the start of a part or after it.
func plain(c byte, first bool) bool {
	alphanumeric := '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
	return alphanumeric || !first && (c == '.' || c == '_' || c == '-')
}

// isHex tells whether s is n lower-case hex digits.
func isHex(s string, n int) bool {
	return len(s) == n && strings.Trim(s, "0123456789abcdef") == ""
}
