// Package modules knows which files of a kernel must be loaded, and in which
// order, for a module to work: what depmod and modprobe do, for a guest that has
// neither.
//
// [Build] makes an index from the modules of a kernel, [Index.Encode] and [Parse]
// carry it into the guest, and [Index.Order] answers there.
//
// Source: depmod(8), modules.dep(5), and the macros of include/linux/module.h.
package modules

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// Module is one file of a kernel, and what it says of itself.
type Module struct {
	Name    string   // as Name writes it
	Path    string   // below the folder that the index was built from
	Needs   []string // the modules that have symbols it uses
	Wants   []string // what is to be loaded before it where there is such a thing
	Aliases []string // other names, by which the kernel asks for it: "fs_btrfs"
}

// Index finds the modules of one kernel by name.
type Index struct {
	modules map[string]Module
	aliases map[string]string // to the names of modules
	builtin map[string]bool
}

// Name writes a module's name with underscores, since "-" and "_" mean the same.
func Name(name string) string { return strings.ReplaceAll(name, "-", "_") }

func newIndex() *Index {
	return &Index{modules: map[string]Module{}, aliases: map[string]string{}, builtin: map[string]bool{}}
}

func (x *Index) add(m Module) error {
	if have, ok := x.modules[m.Name]; ok {
		return fmt.Errorf("module %s is both %s and %s", m.Name, have.Path, m.Path)
	}
	x.modules[m.Name] = m
	for _, alias := range m.Aliases {
		if have, ok := x.aliases[alias]; !ok || m.Name < have {
			x.aliases[alias] = m.Name
		}
	}
	return nil
}

// An UnknownError says that a kernel has no module of a name, nor anything built in.
type UnknownError struct{ Name string }

func (e *UnknownError) Error() string { return fmt.Sprintf("this kernel has no module %q", e.Name) }

// Order gives the paths of the files to load, one after another, so that the named
// modules or aliases work; what is built in needs none. The error is an
// *UnknownError.
func (x *Index) Order(names ...string) ([]string, error) {
	o := order{index: x, seen: map[string]bool{}}
	for _, name := range names {
		if err := o.visit(Name(name)); err != nil {
			return nil, err
		}
	}
	return o.paths, nil
}

// order is a walk over what modules need, depth first.
type order struct {
	index *Index
	seen  map[string]bool
	paths []string
}

func (o *order) visit(name string) error {
	m, ok := o.index.modules[name]
	if !ok {
		m, ok = o.index.modules[o.index.aliases[name]]
	}
	switch {
	case !ok && o.index.builtin[name]:
		return nil
	case !ok:
		return &UnknownError{Name: name}
	case o.seen[m.Name]:
		return nil
	}
	o.seen[m.Name] = true
	for _, wanted := range m.Wants {
		if o.index.has(wanted) {
			if err := o.visit(wanted); err != nil {
				return err
			}
		}
	}
	for _, needed := range m.Needs {
		if err := o.visit(needed); err != nil {
			return fmt.Errorf("%s needs another: %w", m.Name, err)
		}
	}
	o.paths = append(o.paths, m.Path)
	return nil
}

func (x *Index) has(name string) bool {
	_, module := x.modules[name]
	_, alias := x.aliases[name]
	return module || alias
}

// Encode writes the index as text: a line for each module, its fields separated by
// tabs and the names in them by blanks; then a line of what is built in.
func (x *Index) Encode(out io.Writer) error {
	w := bufio.NewWriter(out)
	for _, name := range slices.Sorted(maps.Keys(x.modules)) {
		m := x.modules[name]
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", m.Name, m.Path, strings.Join(m.Needs, " "), strings.Join(m.Wants, " "), strings.Join(m.Aliases, " "))
	}
	fmt.Fprintf(w, "%s\n", strings.Join(slices.Sorted(maps.Keys(x.builtin)), " "))
	return w.Flush()
}

// Parse reads what Encode wrote.
func Parse(text string) (*Index, error) {
	x := newIndex()
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		fields := strings.Split(line, "\t")
		if len(fields) == 1 {
			for _, name := range strings.Fields(line) {
				x.builtin[name] = true
			}
			continue
		}
		if len(fields) != 5 {
			return nil, fmt.Errorf("index of modules: line %q has %d fields, not 5", line, len(fields))
		}
		m := Module{Name: fields[0], Path: fields[1], Needs: strings.Fields(fields[2]), Wants: strings.Fields(fields[3]), Aliases: strings.Fields(fields[4])}
		if err := x.add(m); err != nil {
			return nil, err
		}
	}
	return x, nil
}
