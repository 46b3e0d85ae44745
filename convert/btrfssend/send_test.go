package btrfssend

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/larch-project/larch/tree"
)

// read gives the tree of the last subvolume of some streams.
func read(t testing.TB, streams ...[]byte) *Source {
	t.Helper()
	s, err := open(t, OpenOptions{Rules: rules()}, streams...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func open(t testing.TB, opt OpenOptions, streams ...[]byte) (*Source, error) {
	t.Helper()
	var inputs []Input
	for i, s := range streams {
		inputs = append(inputs, Input{fmt.Sprint("number ", i+1), bytes.NewReader(s)})
	}
	s, err := Open(t.Context(), inputs, opt)
	if err == nil {
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	return s, err
}

// snapshots makes both states of a pair on a btrfs and takes read-only snapshots.
func (p pairOf) snapshots(d *disk, name string) (a, b string) {
	work := d.path(name)
	a, b = work+" before", work+" after"
	d.run("btrfs", "subvolume", "create", work)
	write(d.t, work, "always", "here")
	p.before(d.t, work)
	d.run("btrfs", "subvolume", "snapshot", "-r", work, a)
	p.after(d.t, work)
	d.run("btrfs", "subvolume", "snapshot", "-r", work, b)
	return a, b
}

// TestSend reads what the real program writes, full and as changes, of either
// version.
func TestSend(t *testing.T) {
	shared := newDisk(t)
	for _, p := range pairs() {
		t.Run(p.name, func(t *testing.T) {
			d := &disk{t, shared.dir}
			a, b := p.snapshots(d, p.name)
			wantA, wantB := folder(t, a).text, folder(t, b).text
			for _, proto := range []string{"1", "2"} {
				full, changes := d.send("--proto", proto, a), d.send("--proto", proto, "-p", a, b)
				sameTree(t, "sent", textOf(t, read(t, full)), wantA)
				sameTree(t, "sent changes", textOf(t, read(t, full, changes)), wantB)
				back := d.send("--proto", proto, "-p", b, a)
				sameTree(t, "sent back", textOf(t, read(t, d.send(b), back)), wantA)
			}
			both := d.send(a, b) // two subvolumes in one file, the second as it is
			sameTree(t, "two in one", textOf(t, read(t, both)), wantB)
			first, err := open(t, OpenOptions{rules(), p.name + " before"}, both)
			must(t, err)
			sameTree(t, "the first of two", textOf(t, first), wantA)
			sameTree(t, "with one end", textOf(t, read(t, d.send("-e", a, b))), wantB)
			sameTree(t, "clones", textOf(t, read(t, d.send(a), d.send("-p", a, "-c", a, b))), wantB)
		})
	}
}

// TestCompressed reads extents as they are compressed on the disk.
func TestCompressed(t *testing.T) {
	for _, kind := range []string{"zlib", "lzo", "zstd"} {
		t.Run(kind, func(t *testing.T) {
			d := newDisk(t, "compress-force="+kind)
			work := d.path("work")
			d.run("btrfs", "subvolume", "create", work)
			for i := range 30 {
				write(t, work, fmt.Sprint("text", i), strings.Repeat(noise(i, 100), i*60)+noise(i, i*1000))
			}
			write(t, work, "small", "one line\n")
			write(t, work, "hole", strings.Repeat("\x00", 1<<20)+strings.Repeat("end", 2000))
			d.run("btrfs", "subvolume", "snapshot", "-r", work, work+"-a")
			text := []byte(strings.Repeat(noise(29, 100), 29*60) + noise(29, 29*1000))
			copy(text[60000:], "changed")
			f, err := os.OpenFile(work+"/text29", os.O_WRONLY, 0)
			must(t, err)
			_, err = f.WriteAt(text[60000:60007], 60000)
			must(t, err, f.Truncate(100000), f.Close())
			d.run("cp", "--reflink=always", work+"/text20", work+"/copy")
			d.run("btrfs", "subvolume", "snapshot", "-r", work, work+"-b")
			full, changes := d.send("--compressed-data", work+"-a"), d.send("--compressed-data", "-p", work+"-a", work+"-b")
			if n := commands(t, full)["encoded_write"]; n < 20 {
				t.Errorf("only %d compressed extents", n)
			}
			sameTree(t, "sent", textOf(t, read(t, full)), folder(t, work+"-a").text)
			sameTree(t, "changes", textOf(t, read(t, full, changes)), folder(t, work+"-b").text)
		})
	}
}

// commands counts the commands of a stream.
func commands(t testing.TB, stream []byte) map[string]int {
	t.Helper()
	d := newDecoder(bytes.NewReader(stream))
	must(t, d.start())
	count := map[string]int{}
	for {
		m, err := d.next()
		must(t, err)
		count[m.name]++
		if m.cmd == cmdEnd {
			return count
		}
	}
}

// TestSpecialFiles refuses what no tree can have, when it is in the end result.
func TestSpecialFiles(t *testing.T) {
	d := newDisk(t)
	work := d.path("work")
	d.run("btrfs", "subvolume", "create", work)
	d.run("mkfifo", work+"/pipe")
	d.run("mknod", work+"/null", "c", "1", "3")
	d.run("btrfs", "subvolume", "snapshot", "-r", work, work+"-a")
	must(t, os.Remove(work+"/null"))
	d.run("btrfs", "subvolume", "snapshot", "-r", work, work+"-b")
	must(t, os.Remove(work+"/pipe"))
	d.run("btrfs", "subvolume", "snapshot", "-r", work, work+"-c")
	a, b, c := d.send(work+"-a"), d.send("-p", work+"-a", work+"-b"), d.send("-p", work+"-b", work+"-c")
	for _, streams := range [][][]byte{{a}, {a, b}} {
		_, err := open(t, OpenOptions{Rules: rules()}, streams...)
		isRule(t, err, tree.RuleSpecial)
	}
	sameTree(t, "without them", textOf(t, read(t, a, b, c)), folder(t, work+"-c").text)
}
