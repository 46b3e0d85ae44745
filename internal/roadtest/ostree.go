package main

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"

	"github.com/larch-project/larch/internal/measure"
)

// ostree is an archive repository with a branch for each version, and clients of
// the mode for users.
type ostree struct {
	rig     *rig
	ready   bool
	clients map[int]bool // that have this version; nothing: an empty one
}

func (o *ostree) repo() string { return o.rig.path("ostree", "repo") }

func (o *ostree) client(at int) string { return o.rig.path("ostree", "client-"+strconv.Itoa(at)) }

func branch(at int) string { return "v" + strconv.Itoa(at) }

// ostreeDo runs a command in a repository.
func ostreeDo(repo string, args ...string) (measure.Usage, error) {
	u, _, err := measure.Run(nil, "ostree", append(args, "--repo="+repo)...)
	return u, err
}

// prepare publishes all versions, once.
func (o *ostree) prepare() error {
	if o.ready {
		return nil
	}
	o.clients = map[int]bool{}
	if err := os.MkdirAll(o.repo(), 0o755); err != nil {
		return err
	}
	if _, err := ostreeDo(o.repo(), "init", "--mode=archive"); err != nil {
		return err
	}
	for i, v := range o.rig.family.versions {
		if _, err := ostreeDo(o.repo(), "commit", "--branch="+branch(i), "--owner-uid=0", "--owner-gid=0", "--tree=dir="+v.dir); err != nil {
			return err
		}
	}
	o.ready = true
	return nil
}

// prepareClient makes a client that has a version, or nothing.
func (o *ostree) prepareClient(at int) error {
	if err := o.prepare(); err != nil || o.clients[at] {
		return err
	}
	url, err := o.rig.url("ostree/repo")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(o.client(at), 0o755); err != nil {
		return err
	}
	if _, err := ostreeDo(o.client(at), "init", "--mode=bare-user"); err != nil {
		return err
	}
	if _, err := ostreeDo(o.client(at), "remote", "add", "--no-gpg-verify", "road", url); err != nil {
		return err
	}
	if at != nothing {
		if _, err := ostreeDo(o.client(at), "pull", "--disable-static-deltas", "road", branch(at)); err != nil {
			return err
		}
	}
	o.clients[at] = true
	return nil
}

// pull brings a copy of a client to another version.
func (o *ostree) pull(p pair, flags ...string) (f figure, err error) {
	if err := o.prepareClient(p.from); err != nil {
		return f, err
	}
	traveller, tree := o.rig.path("ostree", "traveller"), o.rig.path("ostree", "tree")
	defer func() { err = errors.Join(err, measure.RemoveAll(traveller), measure.RemoveAll(tree)) }()
	if err := measure.Command("cp", "-a", o.client(p.from), traveller).Run(); err != nil {
		return f, err
	}
	server := o.rig.server
	server.Reset()
	u, err := ostreeDo(traveller, append(append([]string{"pull"}, flags...), "road", branch(p.to))...)
	if err != nil {
		return f, err
	}
	count := server.Count()
	if _, err := ostreeDo(traveller, "checkout", "-U", "road:"+branch(p.to), tree); err != nil {
		return f, err
	}
	f = figure{Bytes: count.Bytes, Requests: count.Requests, CPU: u.CPU, Memory: u.Memory}
	return f, sameTree(o.rig.family.versions[p.to].dir, tree)
}

// plain fetches objects, file by file.
func (o *ostree) plain(p pair) (figure, error) { return o.pull(p, "--disable-static-deltas") }

// delta makes the static delta of a step: its size, and what the client fetches
// when it is there, which with some versions is the objects as well.
func (o *ostree) delta(p pair) (f figure, err error) {
	if err := o.prepare(); err != nil {
		return f, err
	}
	deltas, summary := filepath.Join(o.repo(), "deltas"), filepath.Join(o.repo(), "summary")
	defer func() { err = errors.Join(err, measure.RemoveAll(deltas), measure.RemoveAll(summary)) }()
	if _, err := ostreeDo(o.repo(), "static-delta", "generate", "--from="+branch(p.from), "--to="+branch(p.to)); err != nil {
		return f, err
	}
	if _, err := ostreeDo(o.repo(), "summary", "-u"); err != nil {
		return f, err
	}
	parts, bytes, err := treeSize(deltas)
	if err != nil {
		return f, err
	}
	if f, err = o.pull(p); err != nil {
		return f, err
	}
	f.Fetched, f.Bytes, f.Requests = f.Bytes, bytes, parts
	return f, nil
}
