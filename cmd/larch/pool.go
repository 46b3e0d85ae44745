package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/larch-project/larch/internal/pool"
)

func (c *command) poolVerb() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "pool",
		Short: "Keep the installation on a btrfs of its own",
		Long: `A pool is a btrfs that holds an installation, on a machine whose file system is
something else: in a file, which grows when an installation needs more, or on a device.
There the backend btrfs works: each version is a read-only subvolume. Only root can.

The file of a pool is mounted only on the machine where it was made, and only while nobody
but root can write to it.`,
		Example: "  larch pool create --system --size 20G --compress /var/lib/larch.pool\n  larch pool info --system\n  larch pool resize --system 10G",
		Args:    noVerb,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(c.poolCreateVerb(), c.poolInfoVerb(), c.poolResizeVerb(), c.poolMountVerb(), c.poolUnmountVerb(), c.poolCheckVerb())
	return cmd
}

func (c *command) poolCreateVerb() *cobra.Command {
	var o pool.Options
	var text string
	var noUnits bool
	cmd := &cobra.Command{
		Use:   "create {FILE | --device DEVICE}",
		Short: "Make a pool, and mount it where the installation will be",
		Long: `Makes a btrfs in a new file, or on a device that has no file system, and mounts it at the
installation's folder, which must be empty. The file takes the space of what is in it; --size
is how much that can be until it grows. Units of systemd mount it again after a restart.`,
		Example: "  larch pool create --system --size 20G /var/lib/larch.pool\n  larch pool create --system --device /dev/sdb1",
		Args:    args(0, 1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if len(args) == 1 {
				o.File = args[0]
			}
			if (o.File == "") == (o.Device == "") {
				return usage(cmd, errors.New("either a file or --device"))
			}
			if o.Size, err = parseSize(text); err != nil {
				return usage(cmd, err)
			}
			if o.At, err = c.installationDir(); err != nil {
				return err
			}
			if noUnits {
				o.Units = ""
			}
			if err := pool.Create(cmd.Context(), o); err != nil {
				return err
			}
			return c.report(map[string]string{"at": o.At}, func(w io.Writer) {
				fmt.Fprintf(w, "Made, and mounted at %s\n", safe(o.At))
				if noUnits {
					fmt.Fprintf(w, "At boot, run: larch pool mount %s\n", safe(o.File))
				}
			})
		},
	}
	cmd.Flags().StringVar(&text, "size", "4G", "how large the file system is at first: bytes, or with K, M, G or T")
	cmd.Flags().StringVar(&o.Device, "device", "", "a block device without a file system, instead of a file")
	cmd.Flags().BoolVar(&o.Compress, "compress", false, "compress what is stored, with zstd")
	cmd.Flags().StringVar(&o.Units, "units", pool.Units, "folder for the units of systemd")
	cmd.Flags().BoolVar(&noUnits, "no-units", false, "make no units: something else mounts it at boot")
	return cmd
}

// poolRow is the document of a pool.
type poolRow struct {
	File     string `json:"file"`
	At       string `json:"at"`
	Compress bool   `json:"compress"`
	Size     int64  `json:"size"`  // bytes
	Used     int64  `json:"used"`  // bytes of it
	Free     int64  `json:"free"`  // bytes of it
	Taken    int64  `json:"taken"` // bytes of the disk below
}

// withPool describes the pool of the installation.
func (c *command) withPool(do func(*pool.Pool) error) error {
	dir, err := c.installationDir()
	if err != nil {
		return err
	}
	root, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%s: %w", dir, pool.ErrNone)
	}
	if err != nil {
		return err
	}
	defer root.Close()
	if err := pool.Expected(root); err != nil {
		return err
	}
	p, err := pool.Of(root)
	if err == nil && p == nil {
		err = fmt.Errorf("%s: %w", dir, pool.ErrNone)
	}
	if err != nil {
		return err
	}
	return do(p)
}

func (c *command) reportPool(p *pool.Pool) error {
	row := poolRow{p.File, p.At, p.Compress, p.Size, p.Used, p.Free, p.Taken}
	return c.report(row, func(w io.Writer) {
		fmt.Fprintf(w, "File        %s\nMounted at  %s\nSize        %s, %s of it used, %s free\nTakes       %s of the disk\n",
			safe(p.File), safe(p.At), size(p.Size), size(p.Used), size(p.Free), size(p.Taken))
		if p.Compress {
			fmt.Fprintln(w, "Compressed  with zstd")
		}
	})
}

func (c *command) poolInfoVerb() *cobra.Command {
	return &cobra.Command{
		Use:     "info",
		Short:   "Show the pool of the installation",
		Example: "  larch pool info --system",
		Args:    args(0, 0),
		RunE:    func(*cobra.Command, []string) error { return c.withPool(c.reportPool) },
	}
}

func (c *command) poolResizeVerb() *cobra.Command {
	return &cobra.Command{
		Use:     "resize SIZE",
		Short:   "Grow or shrink the pool of the installation, while it is used",
		Example: "  larch pool resize --system 10G",
		Args:    args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := parseSize(args[0])
			if err != nil {
				return usage(cmd, err)
			}
			return c.withPool(func(p *pool.Pool) error {
				if err := p.Resize(n); err != nil {
					return err
				}
				return c.reportPool(p)
			})
		},
	}
}

func (c *command) poolMountVerb() *cobra.Command {
	return &cobra.Command{
		Use:     "mount FILE",
		Short:   "Mount a pool where it was made for",
		Example: "  larch pool mount /var/lib/larch.pool",
		Args:    args(1, 1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := pool.Mount(args[0]); err != nil {
				return err
			}
			return c.report(map[string]string{"file": args[0]}, func(w io.Writer) { fmt.Fprintf(w, "Mounted %s\n", safe(args[0])) })
		},
	}
}

func (c *command) poolUnmountVerb() *cobra.Command {
	var units string
	cmd := &cobra.Command{
		Use:     "umount",
		Short:   "Unmount the pool of the installation, for good with --units",
		Example: "  larch pool umount --system",
		Args:    args(0, 0),
		RunE: func(*cobra.Command, []string) error {
			var at string
			if err := c.withPool(func(p *pool.Pool) error { at = p.At; return nil }); err != nil {
				return err
			}
			if err := pool.Unmount(at); err != nil {
				return err
			}
			if units != "" {
				if err := errors.Join(pool.RemoveUnits(units, at), pool.Forget(at)); err != nil {
					return err
				}
			}
			return c.report(map[string]string{"at": at}, func(w io.Writer) { fmt.Fprintf(w, "Unmounted %s\n", safe(at)) })
		},
	}
	cmd.Flags().StringVar(&units, "units", "", "remove the units of systemd from this folder, so that it does not come back ("+pool.Units+")")
	return cmd
}

// poolCheckVerb is what the unit that mounts a pool calls first.
func (c *command) poolCheckVerb() *cobra.Command {
	return &cobra.Command{
		Use:     "check FILE",
		Short:   "Tell whether a file is a pool of this machine that nobody else can have changed",
		Example: "  larch pool check /var/lib/larch.pool",
		Args:    args(1, 1),
		RunE: func(_ *cobra.Command, args []string) error {
			f, err := pool.Open(args[0])
			if err != nil {
				return err
			}
			if err := f.Close(); err != nil {
				return err
			}
			return c.report(map[string]string{"file": args[0]}, func(w io.Writer) { fmt.Fprintf(w, "%s is a pool of this machine\n", safe(args[0])) })
		},
	}
}
