package main

import (
	"context"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/larch-project/larch/install"
	"github.com/larch-project/larch/transport"
)

// useVerbs are those that work on an installation.
func (c *command) useVerbs() []*cobra.Command {
	return []*cobra.Command{
		c.remoteVerb(), c.listVerb(), c.infoVerb(), c.searchVerb(),
		c.installVerb(), c.updateVerb(), c.uninstallVerb(), c.undoVerb(), c.historyVerb(),
		c.runVerb(), c.pathVerb(), c.mountVerb(), c.umountVerb(), c.exportVerb(), c.verifyVerb(), c.gcVerb(), c.duVerb(), c.backendsVerb(), c.poolVerb(),
	}
}

// installationFlags say which installation a verb works on.
func (c *command) installationFlags(cmd *cobra.Command) {
	cmd.PersistentFlags().StringVar(&c.root, "root", "", "folder of the installation (default: $LARCH_ROOT, or larch below $XDG_DATA_HOME)")
	cmd.PersistentFlags().BoolVar(&c.system, "system", false, "the whole machine's installation, "+install.SystemDir)
}

// installationDir says where the installation is.
func (c *command) installationDir() (string, error) {
	switch {
	case c.root != "":
		return c.root, nil
	case c.system:
		return install.SystemDir, nil
	case c.getenv("LARCH_ROOT") != "":
		return c.getenv("LARCH_ROOT"), nil
	}
	return install.UserDir(c.getenv)
}

// withInstallation opens the installation for one verb.
func (c *command) withInstallation(do func(*install.Installation) error) error {
	dir, err := c.installationDir()
	if err != nil {
		return err
	}
	i, err := install.Open(dir, install.Options{
		Transport: c.transport,
		Helper:    c.helper(),
		Now:       c.now,
		Waiting:   func() { c.note("waiting for another larch to finish") },
	})
	if err != nil {
		return err
	}
	defer i.Close()
	return do(i)
}

// mountForAll mounts what the whole machine has installed now: most of its users could not.
func (c *command) mountForAll(ctx context.Context, i *install.Installation) {
	if !c.system || os.Geteuid() != 0 {
		return
	}
	if _, err := i.MountAll(ctx); err != nil {
		c.note("mounting what is installed, for other users: %s", safe(err.Error()))
	}
}

// transport opens a repository with the user's credentials.
func (c *command) transport(url string, mirrors []string, stats *transport.Stats) (transport.Transport, error) {
	netrc := c.getenv("NETRC")
	if home := c.getenv("HOME"); netrc == "" && home != "" {
		netrc = filepath.Join(home, ".netrc")
	}
	return install.OpenTransport(url, install.TransportOptions{
		Mirrors: mirrors, Stats: stats, Netrc: netrc, Token: c.getenv("LARCH_TOKEN"),
		UserAgent: "larch/" + programVersion(), Getenv: os.Getenv,
	})
}
