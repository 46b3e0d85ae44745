package mount

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Entry is a line of this process's table of mounts.
type Entry struct {
	Device string // "major:minor" of the file system
	Root   string // what of it, from the file system's root
	Point  string // where it is mounted
	Kind   string // "overlay"
	Source string
	Super  string // options of the file system, separated by commas
}

// maxLine bounds a line of the table, in bytes: overlayfs lists its layers there.
const maxLine = 1 << 20

// Table reads what is mounted where.
//
// Source: proc_pid_mountinfo(5).
func Table() ([]Entry, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []Entry
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		first, second, ok := strings.Cut(lines.Text(), " - ")
		a, b := strings.Fields(first), strings.Fields(second)
		if !ok || len(a) < 6 || len(b) < 3 {
			return nil, fmt.Errorf("table of mounts: unexpected line %.80q", lines.Text())
		}
		all = append(all, Entry{Device: a[2], Root: unescape(a[3]), Point: unescape(a[4]), Kind: b[0], Source: unescape(b[1]), Super: b[2]})
	}
	return all, lines.Err()
}

// unescape undoes the kernel's \ooo.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		if s[0] == '\\' && len(s) >= 4 {
			if n, err := strconv.ParseUint(s[1:4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				s = s[4:]
				continue
			}
		}
		b.WriteByte(s[0])
		s = s[1:]
	}
	return b.String()
}
