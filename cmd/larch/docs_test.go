package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"

	"github.com/larch-project/larch/install"
)

// TestEveryVerbExplainsItself wants a line, an example and the arguments of each.
func TestEveryVerbExplainsItself(t *testing.T) {
	c := &command{}
	eachVerb(c.tree(), func(verb *cobra.Command) {
		if verb.Short == "" || verb.Example == "" {
			t.Errorf("%s: no short text or no example", verb.CommandPath())
		}
		if !strings.Contains(verb.Example, "larch ") {
			t.Errorf("%s: example %q", verb.CommandPath(), verb.Example)
		}
		if verb.Args == nil {
			t.Errorf("%s does not look at its arguments", verb.CommandPath())
		}
	})
}

func eachVerb(parent *cobra.Command, do func(*cobra.Command)) {
	for _, verb := range parent.Commands() {
		if verb.Name() != "help" && verb.Name() != "completion" && !verb.Hidden {
			do(verb)
			eachVerb(verb, do)
		}
	}
}

// TestJSONIsDocumented wants every verb and every key in docs/json.md.
func TestJSONIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/json.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, doc := range []any{
		initialized{}, published{}, loggedRelease{}, pruned{}, repacked{}, deltaRow{}, deltaMade{}, deltaDropped{}, renewal{}, keyRow{}, findingsDocument{}, serving{},
		install.Remote{}, installedRow{}, availableRow{}, details{}, changed{}, generation{}, usageDocument{}, collected{},
		backendRow{}, poolRow{}, exported{}, exportedStream{}, verifiedDocument{}, versionDocument{}, failure{},
	} {
		for _, key := range jsonKeys(reflect.TypeOf(doc)) {
			if !strings.Contains(string(text), "`"+key+"`") && !strings.Contains(string(text), `"`+key+`"`) {
				t.Errorf("docs/json.md does not explain %q of %T", key, doc)
			}
		}
	}
	eachVerb((&command{}).tree(), func(verb *cobra.Command) {
		name := strings.TrimPrefix(verb.CommandPath(), "larch ")
		if !verb.HasSubCommands() && name != "run" && !strings.Contains(string(text), name) && !strings.HasPrefix(name, "key ") {
			t.Errorf("docs/json.md does not mention %q", name)
		}
	})
}

func jsonKeys(t reflect.Type) (keys []string) {
	switch t.Kind() {
	case reflect.Slice, reflect.Pointer:
		return jsonKeys(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if tag, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ","); tag != "" {
				keys = append(append(keys, tag), jsonKeys(t.Field(i).Type)...)
			}
		}
	}
	return keys
}

// TestREADME runs the examples of the README, one after the other, as they stand
// there but for the address of the server.
func TestREADME(t *testing.T) {
	if _, err := exec.LookPath("bwrap"); err != nil {
		t.Skip("no program bwrap: install the package bubblewrap (make deps)")
	}
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		lines = append(lines, strings.Split(block[1], "\n")...)
	}
	if len(lines) < 10 {
		t.Fatalf("only %d lines of examples found", len(lines))
	}
	address := freeAddress(t)
	for i, line := range lines {
		switch {
		case strings.HasPrefix(line, "larch init"):
			lines[i] += "\nFINGERPRINT=$(larch key list repo | awk '$2 == \"root\" {print $1}')"
		case strings.HasPrefix(line, "larch serve"):
			lines[i] = line + " --json --listen " + address + " >serving &\nwhile ! [ -s serving ]; do kill -0 $!; done"
		}
		lines[i] = strings.ReplaceAll(lines[i], "127.0.0.1:8080", address)
	}
	program := "trap 'kill $!' EXIT\n" + strings.Join(lines, "\n")
	dir := t.TempDir()
	script := "exec sh -eux run.sh\nstdout 'hello 1.0'\nstdout 'hello 1.1'\nstdout 'undo'\n\n"
	if err := os.WriteFile(filepath.Join(dir, "readme.txtar"), []byte(script+"-- run.sh --\n"+program+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{Dir: dir, Setup: setup})
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
