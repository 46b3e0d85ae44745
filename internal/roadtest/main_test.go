package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// larch builds the command.
func larch(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "larch")
	build := exec.Command("go", "build", "-o", program, "../../cmd/larch")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building larch: %v: %s", err, out)
	}
	return program
}

// versions makes a folder with three versions of a few small files, of which some
// stay, some change, some come, and some go.
func versions(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for v := range 3 {
		at := filepath.Join(dir, fmt.Sprintf("%02d-1.%d", v+1, v))
		for name, content := range map[string]string{
			"bin/x":                      fmt.Sprintf("#!/bin/sh\necho %d\n", v),
			"stays":                      noise(1, 50_000),
			"changes":                    noise(2, 60_000) + fmt.Sprint(v) + noise(3, 60_000),
			fmt.Sprintf("comes/in%d", v): noise(uint64(10+v), 10_000),
			"empty":                      "",
		} {
			file := filepath.Join(at, name)
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chmod(filepath.Join(at, "bin", "x"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("bin/x", filepath.Join(at, "link")); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// noise is text that does not compress well, the same for the same seed.
func noise(seed uint64, n int) string {
	random := rand.New(rand.NewPCG(seed, 1))
	var b strings.Builder
	for b.Len() < n {
		fmt.Fprintf(&b, "%x ", random.Uint64())
	}
	return b.String()
}

func parsed(t *testing.T, args ...string) options {
	t.Helper()
	flags := flag.NewFlagSet("roadtest", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	o, err := parse(flags, args)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// TestWholeProgram measures a family from its folder to the picture.
func TestWholeProgram(t *testing.T) {
	data, out := t.TempDir(), t.TempDir()
	drawing, document := filepath.Join(out, "updates.svg"), filepath.Join(out, "README.md")
	if err := os.WriteFile(document, []byte("# Title\n\n"+"<!-- roadtest -->\n"+"<!-- /roadtest -->"+"\nEnd\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	o := parsed(t, "-data", data, "-larch", larch(t), "-folder", "tiny="+versions(t), "-only", "tiny", "-peers", "none", "-svg", drawing, "-markdown", document)
	var printed bytes.Buffer
	if err := run(t.Context(), o, &printed); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| tiny | 3 |", "### tiny", "| nothing → 1.2 |", "| 1.0 → 1.1 |", "| 1.0 → 1.2 |", "| 1.1 → 1.2 |", "| kept in the end |"} {
		if !strings.Contains(printed.String(), want) {
			t.Errorf("prints no %q", want)
		}
	}
	text, err := os.ReadFile(document)
	if want := "# Title\n\n" + "<!-- roadtest -->\n" + printed.String() + "<!-- /roadtest -->" + "\nEnd\n"; err != nil || string(text) != want {
		t.Errorf("the document is %s, %v", text, err)
	}
	svg, err := os.ReadFile(drawing)
	if err != nil || !strings.Contains(string(svg), "1.1 → 1.2") {
		t.Errorf("no picture: %v", err)
	}
	wellFormed(t, string(svg))
	if left, err := os.ReadDir(data); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestPeersAreMeasuredOnce runs a peer that is a function of the test.
func TestPeersAreMeasuredOnce(t *testing.T) {
	data, measured := t.TempDir(), 0
	p := peer{name: "walk", tools: []string{"sh"}, quick: []pair{{0, 1}}, pairs: []pair{{0, 1}, {1, 2}}, measure: func(p pair) (figure, error) {
		if measured++; measured > 3 {
			return figure{}, fmt.Errorf("tired")
		}
		return figure{Bytes: int64(100 + p.from), CPU: time.Second}, nil
	}}
	f := sample().family
	ask := func(peers string, fresh bool, stamps ...string) column {
		t.Helper()
		known, err := openFigures(data, fresh)
		if err != nil {
			t.Fatal(err)
		}
		c, err := (&rig{options: options{peers: peers}, ctx: t.Context(), family: f}).column(p, stamps, known)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for _, step := range []struct {
		what, peers    string
		stamps         []string
		figures, total int
	}{
		{"quick", "quick", []string{"a", "b", "c"}, 1, 1},
		{"all", "all", []string{"a", "b", "c"}, 2, 2},
		{"all is known", "quick", []string{"a", "b", "c"}, 2, 2},
		{"another tree", "quick", []string{"a", "x", "c"}, 1, 3},
	} {
		c := ask(step.peers, false, step.stamps...)
		if len(c.figures) != step.figures || len(c.failed) > 0 || measured != step.total {
			t.Errorf("%s: %+v, measured %d times", step.what, c, measured)
		}
	}
	if c := ask("all", true, "a", "b", "c"); len(c.failed) != 2 || len(c.figures) != 0 {
		t.Errorf("afresh: %+v", c)
	}
	p.tools = []string{"no-such-program"}
	if c := ask("all", false, "a", "b", "c"); c.missing != "no-such-program is not installed" {
		t.Errorf("without the tool: %+v", c)
	}
}

func TestFlags(t *testing.T) {
	program := filepath.Join(t.TempDir(), "larch")
	if err := os.WriteFile(program, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	base := []string{"-larch", program, "-svg", ""}
	o := parsed(t, append(base, "-npm", "vue=@vue/core@3.1,3.2", "-folder", "mine=/a/b", "-only", "mine,vue")...)
	if len(o.sources) != 2 || o.sources[0].name != "vue" || strings.Join(o.sources[0].versions, " ") != "3.1 3.2" || o.sources[1].folder != "/a/b" {
		t.Errorf("%+v", o.sources)
	}
	for _, args := range [][]string{
		{"-peers", "some"}, {"-only", "unknown"}, {"-npm", "vue"}, {"-npm", "vue=core"}, {"-npm", "vue=@core"}, {"-npm", "vue=core@"},
		{"-folder", "x"}, {"-folder", "../x=y"}, {"-folder", "=y"}, {"-svg", "/no/such/folder/x.svg"}, {"-larch", "/no/such/larch"},
	} {
		flags := flag.NewFlagSet("roadtest", flag.ContinueOnError)
		flags.SetOutput(io.Discard)
		if _, err := parse(flags, append(base, args...)); err == nil {
			t.Errorf("accepts %q", args)
		}
	}
}
