package main

import (
	"errors"
	"os"
	"strconv"

	"github.com/larch-project/larch/internal/measure"
)

// casync is a store of chunks with an index for each version.
type casync struct {
	rig   *rig
	ready bool
}

func index(at int) string { return "v" + strconv.Itoa(at) + ".caidx" }

// prepare publishes all versions, once.
func (c *casync) prepare() error {
	if c.ready {
		return nil
	}
	if err := os.MkdirAll(c.rig.path("casync"), 0o755); err != nil {
		return err
	}
	for i, v := range c.rig.family.versions {
		_, _, err := measure.Run(nil, "casync", "make", "--with=unix",
			"--store="+c.rig.path("casync", "store.castr"), c.rig.path("casync", index(i)), v.dir)
		if err != nil {
			return err
		}
	}
	c.ready = true
	return nil
}

// extract makes the newer version, with the older one as the seed.
func (c *casync) extract(p pair) (f figure, err error) {
	if err := c.prepare(); err != nil {
		return f, err
	}
	url, err := c.rig.url("casync")
	if err != nil {
		return f, err
	}
	tree := c.rig.path("casync", "tree")
	defer func() { err = errors.Join(err, measure.RemoveAll(tree)) }()
	args := []string{"extract", "--store=" + url + "/store.castr"}
	if p.from != nothing {
		args = append(args, "--seed="+c.rig.family.versions[p.from].dir, "--hardlink=no")
	}
	c.rig.server.Reset()
	u, _, err := measure.Run(nil, "casync", append(args, url+"/"+index(p.to), tree)...)
	if err != nil {
		return f, err
	}
	count := c.rig.server.Count()
	f = figure{Bytes: count.Bytes, Requests: count.Requests, CPU: u.CPU, Memory: u.Memory}
	return f, sameTree(c.rig.family.versions[p.to].dir, tree)
}
