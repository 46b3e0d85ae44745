package deploytest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/tree"
)

// Commands are what a test binary does instead of testing when its first argument
// is one of these names.
type Commands map[string]func(args []string) error

// Main is TestMain for a backend whose trees are seen in namespaces of their own:
// its tests run in part in children, which are the test binary again.
func Main(m *testing.M, commands Commands) {
	all := Commands{"deploytest-compare": compareCommand, "deploytest-read": readCommand, "deploytest-resident": residentCommand}
	for name, run := range commands {
		all[name] = run
	}
	if len(os.Args) > 1 {
		if run := all[os.Args[1]]; run != nil {
			if err := run(os.Args[2:]); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			os.Exit(0)
		}
	}
	os.Exit(m.Run())
}

// compareCommand prints how a folder differs from the tree on standard input.
func compareCommand(args []string) error {
	text, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	found, err := findProblems(args[0], func() iter.Seq2[*tree.Entry, error] { return tree.Decode(bytes.NewReader(text)) })
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(found)
}

// readCommand copies a file to standard output.
func readCommand(args []string) error {
	f, err := os.Open(args[0])
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(os.Stdout, f)
	return err
}

// inside runs a command of Main where a view's tree is.
func inside(t *testing.T, view *deploy.View, in io.Reader, args ...string) ([]byte, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", args...)
	cmd.Stdin = in
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if view.Prepare != nil {
		if err := view.Prepare(t.Context(), cmd); err != nil {
			return nil, err
		}
	}
	err := cmd.Run()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, strings.TrimSpace(said.String()))
	}
	return out.Bytes(), err
}

// read reads a file of a view to its end, named from the root of its tree.
func read(t *testing.T, view *deploy.View, name string) ([]byte, error) {
	t.Helper()
	if view.Prepare == nil {
		return os.ReadFile(filepath.Join(view.Path, name))
	}
	return inside(t, view, nil, "deploytest-read", filepath.Join(view.Path, name))
}

// examine gives all that is different in a view from a tree.
func examine(t *testing.T, view *deploy.View, spec deploy.Spec) ([]deploy.Difference, error) {
	t.Helper()
	if view.Prepare == nil {
		return findProblems(view.Path, spec.Tree)
	}
	var text bytes.Buffer
	enc := tree.NewEncoder(&text)
	for e, err := range spec.Tree() {
		if err == nil {
			err = enc.Write(e)
		}
		if err != nil {
			return nil, err
		}
	}
	if err := enc.Close(); err != nil {
		return nil, err
	}
	out, err := inside(t, view, &text, "deploytest-compare", view.Path)
	if err != nil {
		return nil, err
	}
	var found []deploy.Difference
	return found, json.Unmarshal(out, &found)
}

// findProblems compares a folder with a tree, by Compare and, so that its mistakes
// are not the suite's, by what publishing the folder would find.
func findProblems(dir string, entries func() iter.Seq2[*tree.Entry, error]) (found []deploy.Difference, err error) {
	root, err := beneath.Open(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	ctx := context.Background()
	for d, err := range deploy.Compare(ctx, root, entries(), nil) {
		if err != nil {
			return nil, err
		}
		found = append(found, d)
	}
	if len(found) > 0 {
		return found, nil
	}
	rules := tree.OSRules()
	rules.KeepTimes = true
	folder, err := tree.Folder(dir, rules)
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	for c, err := range tree.Diff(normal(entries()), normal(tree.Hash(ctx, folder, 2))) {
		if err != nil {
			return nil, err
		}
		found = append(found, deploy.Difference{Path: c.Path(), Problem: fmt.Sprintf("%+v instead of %+v", c.New, c.Old)})
	}
	return found, nil
}
