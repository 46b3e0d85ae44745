package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/larch-project/larch/install"
)

func (c *command) mountVerb() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "mount REF DIR",
		Short: "Show an installed release at a folder, read-only",
		Long: `Mounts the tree of an installed release at a folder, until "larch umount" or a restart.
Only root can. What is mounted stays what it is when the release is updated.

With --all it mounts the deployments that are used through mounts of their own
(backends composefs and fuse), which a restart has left unmounted: run it at boot, so
that users find them.`,
		Example: "  larch mount --system editor /mnt\n  larch mount --system --all",
		Args:    args(0, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (len(args) == 0) != all || len(args) == 1 {
				return usage(cmd, fmt.Errorf("either REF and DIR, or --all"))
			}
			return c.withInstallation(func(i *install.Installation) error {
				if all {
					n, err := i.MountAll(cmd.Context())
					if err != nil {
						return err
					}
					return c.report(map[string]int{"mounted": n}, func(w io.Writer) { fmt.Fprintf(w, "%s ready\n", count(int64(n), "deployment")) })
				}
				if err := i.Mount(cmd.Context(), args[0], args[1]); err != nil {
					return err
				}
				return c.report(map[string]string{"path": args[1]}, func(w io.Writer) { fmt.Fprintf(w, "Mounted %s at %s\n", safe(args[0]), safe(args[1])) })
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "mount all deployments at their own places")
	return cmd
}

func (c *command) umountVerb() *cobra.Command {
	var lazy bool
	cmd := &cobra.Command{
		Use:     "umount DIR",
		Short:   "Take away what \"larch mount\" has mounted",
		Example: "  larch umount /mnt",
		Args:    args(1, 1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := install.Unmount(args[0], lazy); err != nil {
				return err
			}
			return c.report(map[string]string{"path": args[0]}, func(w io.Writer) { fmt.Fprintf(w, "Unmounted %s\n", safe(args[0])) })
		},
	}
	cmd.Flags().BoolVar(&lazy, "lazy", false, "leave it to the programs that use it, and hide it from all others")
	return cmd
}
