package machine

import (
	"bufio"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/larch-project/larch/internal/vm/cpio"
	"github.com/larch-project/larch/internal/vm/guest"
	"github.com/larch-project/larch/internal/vm/kernel"
)

// writeArchive writes what the kernel starts with: this program, its job, and the
// first modules. It is not compressed: an emulated processor would take longer to
// undo that than to read it.
func writeArchive(path string, k kernel.Kernel, job guest.Job) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	buffered := bufio.NewWriter(f)
	w := cpio.NewWriter(buffered)
	if err := addProgram(w); err != nil {
		return err
	}
	text, err := job.Encode()
	if err != nil {
		return err
	}
	if err := w.Add(guest.JobFile, cpio.File|0o644, text); err != nil {
		return err
	}
	if err := addModules(w, k, job); err != nil {
		return err
	}
	return errors.Join(w.Close(), buffered.Flush(), f.Close())
}

func addProgram(w *cpio.Writer) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	if err := mustBeStatic(program); err != nil {
		return err
	}
	content, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	return w.Add(guest.InitFile, cpio.File|0o755, content)
}

// mustBeStatic refuses a program that needs a dynamic linker, which a guest has not
// when it begins.
func mustBeStatic(program string) error {
	f, err := elf.Open(program)
	if err != nil {
		return err
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return fmt.Errorf("%s is linked dynamically, so it cannot start a guest: build it with CGO_ENABLED=0", program)
		}
	}
	return nil
}

func addModules(w *cpio.Writer, k kernel.Kernel, job guest.Job) error {
	index, err := k.Index()
	if err != nil {
		return err
	}
	if _, err := index.Order(job.Load...); err != nil { // better known now than in the guest
		return err
	}
	paths, err := index.Order(guest.Early()...)
	if err != nil {
		return err
	}
	if err := w.Add(guest.EarlyDir, cpio.Dir|0o755, nil); err != nil {
		return err
	}
	for i, path := range paths {
		content, err := os.ReadFile(filepath.Join(k.Modules(), path))
		if err != nil {
			return err
		}
		if err := w.Add(fmt.Sprintf("%s/%03d.ko", guest.EarlyDir, i), cpio.File|0o644, content); err != nil {
			return err
		}
	}
	return nil
}
