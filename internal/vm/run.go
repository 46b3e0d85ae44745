package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/larch-project/larch/internal/vm/guest"
	"github.com/larch-project/larch/internal/vm/machine"
)

// run runs one command in a machine, and gives its exit status.
func (p program) run(ctx context.Context, args []string) (int, error) {
	o, err := parseRun(args)
	if err != nil {
		return 0, err
	}
	dir, err := os.Getwd()
	if err != nil {
		return 0, err
	}
	statuses, err := p.boot(ctx, o, o.kernels[0], o.timeout, machine.Config{
		Job: guest.Job{
			Load:     o.modules,
			Writable: o.writable,
			Commands: []guest.Command{{Args: o.args, Dir: dir}},
		},
		Disks:   o.disks,
		Stdout:  p.stdout,
		Stderr:  p.stderr,
		CutText: o.cutText,
	})
	if err != nil {
		return 0, err
	}
	return statuses[0], nil
}

// boot completes a machine from the options, and runs it for no longer than limit.
func (p program) boot(ctx context.Context, o options, series string, limit time.Duration, c machine.Config) ([]int, error) {
	k, err := p.ready(ctx, o.cache, series)
	if err != nil {
		return nil, err
	}
	c.Kernel, c.Memory = k, o.memory
	if c.KVM, err = p.accelerated(ctx, o.cache, c); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errTimeout)
	defer cancel()
	statuses, err := p.twice(func() ([]int, error) { return machine.Run(ctx, c) })
	if err != nil {
		return nil, fmt.Errorf("kernel %s: %w", series, err)
	}
	return statuses, nil
}

// twice runs a machine again if it dies in early boot, as emulated ones do at times.
// Nothing of the job was begun by then.
func (p program) twice(run func() ([]int, error)) ([]int, error) {
	statuses, err := run()
	var died *machine.DiedError
	if errors.As(err, &died) && died.Early {
		fmt.Fprintf(p.stderr, "vm: %v\nvm: booting once more\n", err)
		return run()
	}
	return statuses, err
}

// probeTime is what a boot takes with KVM, many times over.
const probeTime = 30 * time.Second

// accelerated tells whether KVM can boot the machine's kernel here. That is found
// out by trying, once: the answer is kept in the cache folder, as "kvm" or "tcg".
func (p program) accelerated(ctx context.Context, cache string, c machine.Config) (bool, error) {
	file := filepath.Join(cache, "accelerator")
	if known, err := os.ReadFile(file); err == nil {
		return strings.TrimSpace(string(known)) == "kvm", nil
	}
	answer := "tcg"
	if kvmDevice() {
		limited, cancel := context.WithTimeout(ctx, probeTime)
		defer cancel()
		probe := machine.Config{
			Kernel: c.Kernel, Memory: c.Memory, KVM: true, Stdout: io.Discard, Stderr: io.Discard,
			Job: guest.Job{Commands: []guest.Command{{Args: []string{"true"}, Dir: "/"}}},
		}
		if _, err := machine.Run(limited, probe); err == nil {
			answer = "kvm"
		}
	}
	if err := ctx.Err(); err != nil { // interrupted: nothing was found out
		return false, err
	}
	return answer == "kvm", os.WriteFile(file, []byte(answer+"\n"), 0o644)
}

// kvmDevice tells whether there is a KVM worth trying. The variant for guests
// within guests, PVM, boots only kernels that were made for it.
func kvmDevice() bool {
	_, noPVM := os.Stat("/sys/module/kvm_pvm")
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		return false
	}
	f.Close()
	return noPVM != nil
}
