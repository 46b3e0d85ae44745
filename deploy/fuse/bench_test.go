package fuse_test

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/tree"
)

// The benchmarks compare what is read through the server with the same files on the
// file system below: BenchmarkLarge reads one of 1 GiB, BenchmarkSmall 10,000 small
// ones, BenchmarkStat lists and describes 12,000. BenchmarkMemory shows 10 deployments of
// 12,000 files and reports what the serving process has resident.

const (
	largeSize = 1 << 30
	smallMany = 10_000
	statMany  = 12_000
)

func BenchmarkLarge(b *testing.B) {
	m := needsServer(b)
	data := random(1, largeSize)
	m.put(b, data)
	view := m.open(b, backend, specOf(b, "release", data))
	plain, served := m.object(data), filepath.Join(view.Path, "0")
	for _, c := range []struct{ name, file string }{{"plain", plain}, {"served", served}} {
		b.Run(c.name+"/cold", func(b *testing.B) {
			b.SetBytes(largeSize)
			for b.Loop() {
				b.StopTimer()
				drop(b, plain)
				drop(b, served)
				b.StartTimer()
				readFile(b, c.file)
			}
		})
		b.Run(c.name+"/warm", func(b *testing.B) {
			b.SetBytes(largeSize)
			readFile(b, c.file)
			for b.Loop() {
				readFile(b, c.file)
			}
		})
	}
}

// readFile reads a file to its end, as cat does.
func readFile(b *testing.B, name string) {
	f, err := os.Open(name)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	buf := make([]byte, 128<<10)
	for {
		_, err := f.Read(buf)
		if err == io.EOF {
			return
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

// manyFiles makes a tree of n files in folders of 100, and the same as plain files.
func manyFiles(b *testing.B, m *machine, name string, n, first int) (spec deploy.Spec, plain string) {
	plain = filepath.Join(b.TempDir(), "plain")
	list := []*tree.Entry{{Path: "/", Kind: tree.Directory, Mode: 0o755, Nlink: 1}}
	var contents [][]byte
	for i := range n {
		folder := fmt.Sprintf("/folder%04d", i/100)
		if i%100 == 0 {
			list = append(list, &tree.Entry{Path: tree.Path(folder), Kind: tree.Directory, Mode: 0o755, Nlink: 1})
			if err := os.MkdirAll(plain+folder, 0o755); err != nil {
				b.Fatal(err)
			}
		}
		data := fmt.Appendf(nil, "%s%d", strings.Repeat("some small content ", 20+i%300), first+i)
		contents = append(contents, data)
		file := folder + fmt.Sprintf("/some-file-with-a-name-%06d.txt", i)
		list = append(list, fileEntry(tree.Path(file), data))
		if err := os.WriteFile(plain+file, data, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	m.put(b, contents...)
	return specOfEntries(b, name, list), plain
}

func BenchmarkSmall(b *testing.B) {
	m := needsServer(b)
	spec, plain := manyFiles(b, m, "release", smallMany, 0)
	view := m.open(b, backend, spec)
	for _, c := range []struct{ name, dir string }{{"plain", plain}, {"served", view.Path}} {
		b.Run(c.name, func(b *testing.B) {
			walk(b, c.dir, func(name string) { readFile(b, name) })
			for b.Loop() {
				walk(b, c.dir, func(name string) { readFile(b, name) })
			}
		})
	}
}

func BenchmarkStat(b *testing.B) {
	m := needsServer(b)
	spec, plain := manyFiles(b, m, "release", statMany, 0)
	view := m.open(b, backend, spec)
	stat := func(name string) {
		if _, err := os.Lstat(name); err != nil {
			b.Fatal(err)
		}
	}
	for _, c := range []struct{ name, dir string }{{"plain", plain}, {"served", view.Path}} {
		b.Run(c.name, func(b *testing.B) {
			walk(b, c.dir, stat)
			for b.Loop() {
				walk(b, c.dir, stat)
			}
		})
	}
}

func walk(b *testing.B, dir string, do func(name string)) {
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			do(name)
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
}

func BenchmarkMemory(b *testing.B) {
	m := needsServer(b)
	for b.Loop() {
		for i := range 10 { // a third of each is in the one before, too
			spec, _ := manyFiles(b, m, fmt.Sprint("release", i), statMany, i*statMany*2/3)
			view := m.open(b, backend, spec)
			walk(b, view.Path, func(name string) { readFile(b, name) })
		}
	}
	b.ReportMetric(float64(resident(b, m.process(b, "child"))), "KiB-child")
	b.ReportMetric(float64(resident(b, m.process(b, "serve"))), "KiB-supervisor")
}

// resident is the largest that a process has been, in KiB.
func resident(b *testing.B, pid int) (kib int) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		b.Fatal(err)
	}
	return kib
}
