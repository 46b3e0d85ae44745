package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/larch-project/larch/internal/measure"
)

// keep is how many releases the publisher keeps when it prunes: each time it removes one
// that clients may be fetching.
const keep = 1

// ahead is how many versions the publisher publishes while the clients do one thing. Their
// folders are made before.
const ahead = 6

// metadata is what a client receives beside contents: bytes at most, and for what the
// plan could not know, such as a version that came meanwhile.
const metadata = 1 << 20

// publisher publishes version after version.
type publisher struct {
	options
	trees   *trees
	server  *server
	version int
}

// larch runs before all clients: a publisher has a machine of its own.
func (p *publisher) larch(args ...string) (string, error) {
	env := []string{"LARCH_KEYS=" + filepath.Join(p.work, "keys"), "XDG_CONFIG_HOME=" + p.work}
	_, out, err := measure.Run(env, "nice", append([]string{"-n", "-20", p.options.larch}, args...)...)
	return out, err
}

func (p *publisher) repo() string { return filepath.Join(p.server.dir, "larch") }

// publish publishes the next version, and removes old ones.
func (p *publisher) publish() error {
	p.version++
	dir, err := p.trees.have(p.version)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if _, err := p.larch("publish", p.repo(), "app/org.example.Hello/x86_64/stable", dir, "--version", fmt.Sprint(p.version),
		"--command", "hello", "--delta-budget", "2", "--json"); err != nil {
		return err
	}
	_, err = p.larch("repo", "prune", p.repo(), "--keep", fmt.Sprint(keep), "--json")
	return err
}

// meanwhile publishes on and on while something is done, and at least once.
func (p *publisher) meanwhile(do func() (*result, error)) (*result, error) {
	before := p.version
	for n := range ahead {
		if _, err := p.trees.have(before + 1 + n); err != nil {
			return nil, err
		}
	}
	done := make(chan struct{})
	var failed error
	var publishing sync.WaitGroup
	publishing.Go(func() {
		for failed == nil && p.version < before+ahead {
			failed = p.publish()
			select {
			case <-done:
				return
			default:
			}
		}
	})
	r, err := do()
	close(done)
	publishing.Wait()
	if err != nil {
		return nil, err
	}
	r.versions = p.version - before
	return r, failed
}

// machine is the installation of one client.
type machine struct {
	options
	root string
}

func (m machine) larch(args ...string) (measure.Usage, string, error) {
	return measure.Run([]string{"LARCH_ROOT=" + m.root}, m.options.larch, args...)
}

// transaction runs install or update, and tells whether more came than was planned.
func (m machine) transaction(args ...string) (usage measure.Usage, off bool, err error) {
	usage, out, err := m.larch(append(args, "--yes", "--json")...)
	if err != nil {
		return usage, false, err
	}
	var said struct {
		Planned int64 `json:"planned_bytes"`
		Fetched int64 `json:"bytes_fetched"`
	}
	if err := json.Unmarshal([]byte(out), &said); err != nil {
		return usage, false, fmt.Errorf("%q: %w", out, err)
	}
	return usage, said.Fetched < said.Planned || said.Fetched > said.Planned+said.Planned/20+metadata, nil
}

// larch measures installing and updating.
func larch(o options, trees *trees, s *server) ([]*result, error) {
	p := &publisher{options: o, trees: trees, server: s}
	out, err := p.larch("init", p.repo(), "--json")
	if err != nil {
		return nil, err
	}
	var made struct{ Fingerprint string }
	if err := json.Unmarshal([]byte(out), &made); err != nil {
		return nil, err
	}
	if err := p.publish(); err != nil {
		return nil, err
	}
	machines := make([]machine, o.clients)
	err = each(o.clients, func(n int) error {
		machines[n] = machine{o, filepath.Join(o.work, "machines", fmt.Sprint(n))}
		if err := os.MkdirAll(filepath.Dir(machines[n].root), 0o755); err != nil {
			return err
		}
		_, _, err := machines[n].larch("remote", "add", "load", s.url+"/larch", "--root-key", made.Fingerprint)
		return err
	})
	if err != nil {
		return nil, err
	}
	installed, err := p.measure("install", 0, machines, "install", "hello", "--backend", "hardlink")
	if err != nil {
		return nil, err
	}
	if err := p.settle(machines, installed); err != nil { // so that all have the same
		return nil, err
	}
	from := p.version
	if err := p.publish(); err != nil {
		return nil, err
	}
	updated, err := p.measure("update", from, machines, "update")
	if err != nil {
		return nil, err
	}
	return []*result{installed, updated}, p.settle(machines, updated)
}

// measure has all machines do something while versions are published; what is new is
// what the newest version has, and an earlier one has not.
func (p *publisher) measure(what string, earlier int, machines []machine, args ...string) (*result, error) {
	compressed, err := p.trees.compressed(p.version, earlier)
	if err != nil {
		return nil, err
	}
	r, err := p.meanwhile(func() (*result, error) { return transactions(what, p.server, machines, args) })
	if err != nil {
		return nil, err
	}
	r.compressed = compressed
	return r, nil
}

func transactions(what string, s *server, machines []machine, args []string) (*result, error) {
	var mu sync.Mutex
	off := 0
	r, err := wave("larch "+what, len(machines), s, func(n int) (measure.Usage, error) {
		usage, more, err := machines[n].transaction(args...)
		mu.Lock()
		defer mu.Unlock()
		if more {
			off++
		}
		return usage, err
	})
	if r != nil {
		r.offPlan = off
	}
	return r, err
}

// settle has all machines at the newest version in the end, and whole. What is not is
// a failure of the last result.
func (p *publisher) settle(machines []machine, last *result) error {
	var mu sync.Mutex
	return each(len(machines), func(n int) error {
		m := machines[n]
		_, _, err := m.larch("verify")
		if err == nil {
			_, _, err = m.transaction("update")
		}
		var out string
		if err == nil {
			_, out, err = m.larch("list", "--json")
		}
		var list []struct{ Version string }
		if err == nil {
			err = json.Unmarshal([]byte(out), &list)
		}
		if err == nil && (len(list) != 1 || list[0].Version != fmt.Sprint(p.version)) {
			err = fmt.Errorf("in the end there is %s", out)
		}
		if err == nil {
			_, _, err = m.larch("verify")
		}
		if err != nil {
			mu.Lock()
			defer mu.Unlock()
			last.failures = append(last.failures, err)
		}
		return nil
	})
}
