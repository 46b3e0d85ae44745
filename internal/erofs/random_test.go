package erofs

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
)

// dumpWriter writes random dumps as a text: every way to say a thing that
// composefs-dump(5) has, values at the edges of the format, and mistakes.
type dumpWriter struct {
	*rand.Rand
	out        bytes.Buffer
	dirs       []string // escaped, as they were written
	others     []string // that are no directories
	count      int
	attributes []string
	plain      bool // makes no mistakes
}

// randomDump writes one that is right as often as not.
func randomDump(r *rand.Rand) []byte {
	w := &dumpWriter{Rand: r, dirs: []string{""}, plain: r.IntN(3) > 0}
	for range 1 + r.IntN(6) {
		w.attributes = append(w.attributes, w.attributeName()+"="+w.bytes(w.IntN(40), ""))
	}
	w.line("/", "40755")
	count := r.IntN(20)
	switch r.IntN(40) {
	case 0:
		count = 5000 // directories of many blocks
	case 1, 2, 3, 4, 5:
		count = r.IntN(400)
	}
	for range count {
		w.entry()
	}
	if w.plain {
		return w.out.Bytes()
	}
	return w.spoil(w.out.Bytes())
}

func pick[T any](w *dumpWriter, of ...T) T { return of[w.IntN(len(of))] }

func (w *dumpWriter) entry() {
	path := w.path()
	switch w.IntN(12) {
	case 0, 1:
		w.line(path, fmt.Sprintf("4%04o", w.IntN(0o10000)))
		w.dirs = append(w.dirs, path)
	case 2:
		w.further(path)
	default:
		mode := pick(w, 0o10, 0o12, 0o2, 0o6, 0o1, 0o14, 0o10, 0o10, 0o10, 0o2)
		w.line(path, fmt.Sprintf("%o%04o", mode, w.IntN(0o10000)))
		w.others = append(w.others, path)
	}
	w.count++
}

// path gives a new name in one of the directories.
func (w *dumpWriter) path() string {
	dir := w.dirs[w.IntN(len(w.dirs))]
	if w.IntN(3) > 0 {
		dir = w.dirs[len(w.dirs)-1]
	}
	slash := "/"
	if !w.plain || dir != "" {
		slash = pick(w, "/", "/", "/", "/", "/", "/", "/", "//", "///")
	}
	name := ""
	switch w.IntN(6) {
	case 0:
		name = fmt.Sprintf("%02x", w.IntN(256))
	case 1:
		name = pick(w, "!", "#", "+", "-", "...", "..a", ".a", ".-", "..", ".", "~", "\\x2d", "\\x2e", "\\\\", "a\\x20b", "é", "\xff", "\\xfF", "\x80\\x81", "=", "\\n", "\\t\\r", ".\x01", "\x01", "00", "FF")
		if w.plain && strings.Trim(name, ".") == "" {
			name = "a"
		}
	case 2:
		name = w.bytes(1+w.IntN(pick(w, 3, 20, 255)), "/\x00.")
	default:
		name = fmt.Sprintf("n%d", w.IntN(100000))
	}
	if w.plain {
		name += fmt.Sprintf("%x", w.count)
		if len(name) > 255 && !strings.Contains(name, "\\") {
			name = name[len(name)-255:]
		}
	}
	return dir + slash + name
}

// bytes gives so many bytes but those that are excluded, each escaped or not.
func (w *dumpWriter) bytes(n int, excluded string) string {
	var b strings.Builder
	alike := w.IntN(2) == 0
	c := byte(w.IntN(256))
	for range n {
		if !alike {
			c = byte(w.IntN(256))
		}
		for strings.IndexByte(excluded, c) >= 0 {
			c = byte(w.IntN(256))
		}
		switch must := c == ' ' || c == '\n' || c == 0 || c == '\\'; {
		case c == '\n' && w.IntN(2) == 0:
			b.WriteString("\\n")
		case must || w.IntN(8) == 0:
			fmt.Fprintf(&b, pick(w, "\\x%02x", "\\x%02X"), c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

func (w *dumpWriter) further(path string) {
	if len(w.others) == 0 {
		w.line(path, "100644")
		return
	}
	target := w.others[w.IntN(len(w.others))]
	switch w.IntN(8) {
	case 0:
		target = strings.TrimLeft(target, "/")
	case 1:
		if !w.plain {
			target = pick(w, "-", "", "/", "/nothing", path, w.dirs[w.IntN(len(w.dirs))]+"/later")
		}
	}
	fmt.Fprintf(&w.out, "%s %s @%s %s 0 0 0 0.0 %s - -\n", path, w.number(), pick(w, "100644", "120777", "20000", "10600"), w.number(), target)
}

// number gives one that is often at an edge.
func (w *dumpWriter) number() string {
	edge := pick(w, uint64(0), 1, 2, 255, 65535, 65536, 1<<31-1, 1<<31, 1<<32-1, 1<<32, 1<<32+1, 1<<63, 1<<64-1, uint64(w.IntN(100)), uint64(w.IntN(1<<20)))
	switch w.IntN(20) {
	case 0:
		return fmt.Sprintf("+%d", edge)
	case 1:
		return fmt.Sprintf("00%d", edge)
	case 2:
		return fmt.Sprintf("-%d", edge)
	case 3:
		return fmt.Sprintf("\t%d", edge)
	case 4:
		return fmt.Sprintf("%d0000000000000000000", edge)
	}
	return fmt.Sprint(edge)
}

func (w *dumpWriter) time() string {
	return pick(w, "0", "0", "0", "1", "-1", "-5", "1700000000", w.number()) + "." + pick(w, "0", "0", "0", "1", "500000000", "007", "999999999", w.number())
}

// line writes one; what does not matter for the type is there too.
func (w *dumpWriter) line(path, mode string) {
	kind := mode[:len(mode)-4]
	size, payload, content, sum := "0", "-", "-", pick(w, "-", "-", w.hex(64))
	rdev := pick(w, "0", "0", w.number(), "259", fmt.Sprint(w.IntN(1<<30)))
	switch {
	case kind == "12":
		size, payload = w.number(), w.bytes(1+w.IntN(pick(w, 8, 300, 4095)), "\x00-")
		if w.IntN(20) == 0 {
			payload = w.bytes(pick(w, 3900, 4030, 4064, 4080, 4094, 4095, 4095), "\x00")
		}
	case kind == "10" && w.IntN(3) == 0:
		n := pick(w, 0, 1, 63, 64, 65, 2047, 2048, 2049, 4095, 4096, 4097, 4999, 5000, w.IntN(5000), w.IntN(100))
		size, content = fmt.Sprint(n), w.bytes(n, "-")
	case kind == "10":
		if size = w.size(); size == "0" {
			break
		}
		payload = pick(w, "-", w.bytes(1+w.IntN(100), "\x00-"), "ab/"+w.hex(62), "/abs", "\\x2d", "")
	case w.IntN(6) == 0:
		size = w.number()
	}
	uid, gid := pick(w, "0", "0", w.number()), pick(w, "0", "0", w.number())
	nlink := pick(w, "1", "1", "2", w.number())
	fmt.Fprintf(&w.out, "%s %s %s%s %s %s %s %s %s %s %s %s", path, size, pick(w, "", "", "0", "+"), mode, nlink, uid, gid, rdev, w.time(), payload, content, sum)
	w.xattrs()
	w.out.WriteByte('\n')
}

func (w *dumpWriter) size() string {
	b := w.IntN(54)
	edge := uint64(1)<<b + pick(w, uint64(0), 1, 1<<64-1)
	if b == 53 && w.plain {
		edge = 1 << 53
	}
	return fmt.Sprint(edge)
}

func (w *dumpWriter) hex(n int) string {
	b := make([]byte, n)
	for k := range b {
		b[k] = "0123456789abcdefABCDEF"[w.IntN(22)]
	}
	return string(b)
}

func (w *dumpWriter) attributeName() string {
	return pick(w, "user.", "trusted.", "security.", "system.posix_acl_access", "system.posix_acl_default", "system.", "lustre.", "",
		"trusted.overlay.", "trusted.overlay.overlay.", "user.overlay.", "user.overlay.", "security.selinux", "security.capability") +
		pick(w, w.empty(), "a", "b", "opaque", "metacopy", "redirect", "whiteout", "whiteouts", "z\\x3dq", fmt.Sprint(w.IntN(300)), strings.Repeat("l", w.IntN(231)))
}

// empty is a mistake where nothing is before it.
func (w *dumpWriter) empty() string {
	if w.plain {
		return "0"
	}
	return ""
}

func (w *dumpWriter) xattrs() {
	n := pick(w, 0, 0, 0, 1, 2, 5)
	if w.IntN(300) == 0 {
		n = 200 // more than an inode shares
		for len(w.attributes) < 200 {
			w.attributes = append(w.attributes, fmt.Sprintf("user.%d=%s", w.IntN(1000), w.bytes(w.IntN(4), "\x00")))
		}
	}
	for range n {
		if w.IntN(3) > 0 {
			w.out.WriteString(" " + w.attributes[w.IntN(len(w.attributes))])
			continue
		}
		length := w.IntN(pick(w, 4, 50, 300))
		if w.IntN(60) == 0 {
			length = pick(w, 4000, 16000, 32700, 32767-12-7-6, 33000)
		}
		w.out.WriteString(" " + w.attributeName() + "=" + w.bytes(length, ""))
	}
}

// spoil makes mistakes.
func (w *dumpWriter) spoil(dump []byte) []byte {
	switch w.IntN(10) {
	case 0:
		return bytes.ReplaceAll(dump, []byte("\n"), []byte("\r\n"))
	case 1:
		return bytes.TrimSuffix(dump, []byte("\n"))
	case 2:
		return append(dump, pick(w, "\n", " ", "garbage", "/x", "\x00", "/late 0 100644 1 0 0 0 0.0 - - -")...)
	}
	lines := bytes.SplitAfter(dump, []byte("\n"))
	for range w.IntN(3) {
		k := w.IntN(len(lines))
		switch w.IntN(6) {
		case 0:
			j := w.IntN(len(lines))
			lines[k], lines[j] = lines[j], lines[k]
		case 1:
			lines = append(lines, lines[k])
		case 2:
			fields := bytes.Split(lines[k], []byte(" "))
			j := w.IntN(len(fields))
			fields[j] = []byte(pick(w, "", "-", "x", "0", "-1", "1.5", "\\", "\\x", "\\x4", "\\q", "\\x00", "18446744073709551616z", "0x10", "08", "1_0", "@100644", "644", "=", "a=", "\r"))
			lines[k] = bytes.Join(fields, []byte(" "))
		case 3:
			fields := bytes.Split(lines[k], []byte(" "))
			lines[k] = append(bytes.Join(fields[:1+w.IntN(len(fields))], []byte(" ")), '\n')
		case 4:
			if len(lines[k]) > 0 {
				lines[k] = bytes.Clone(lines[k])
				lines[k][w.IntN(len(lines[k]))] = byte(w.IntN(256))
			}
		case 5:
			lines[k] = bytes.Replace(lines[k], []byte(" "), []byte("  "), 1+w.IntN(2))
		}
	}
	return bytes.Join(lines, nil)
}
