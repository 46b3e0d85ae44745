package machine

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/larch-project/larch/internal/vm/guest"
)

const (
	emulator   = "qemu-system-x86_64"
	archive    = "initramfs"
	processors = 2

	// quiet, and without the work that a machine for a minute does not need; a
	// kernel that is broken ends at once, and so is seen
	commandLine = "console=ttyS0 quiet panic=-1 oops=panic mitigations=off nokaslr tsc=reliable no_timer_check random.trust_cpu=on"
)

// arguments are QEMU's.
func arguments(dir string, c Config) []string {
	in := func(name string) string { return filepath.Join(dir, name) }
	args := []string{
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-M", "q35,memory-backend=memory,hpet=off",
		"-smp", strconv.Itoa(processors),
		"-m", strconv.Itoa(c.Memory),
		// shared, since virtiofsd reads and writes the guest's memory
		"-object", fmt.Sprintf("memory-backend-memfd,id=memory,size=%dM,share=on", c.Memory),
		"-kernel", c.Kernel.Image(), "-initrd", in(archive), "-append", commandLine,
		"-serial", "file:" + in(consoleFile),
		"-chardev", "socket,id=share,path=" + in(socketFile),
		"-device", "vhost-user-fs-pci,chardev=share,tag=" + guest.ShareTag,
		"-device", "virtio-serial-pci",
	}
	args = append(args, acceleration(c.KVM)...)
	// 3 is the first descriptor that connect hands over, in this order
	for i, name := range []string{guest.StdoutPort, guest.StderrPort, guest.EventPort} {
		args = append(args,
			"-chardev", fmt.Sprintf("file,id=%s,path=/dev/fd/%d", name, 3+i),
			"-device", fmt.Sprintf("virtserialport,chardev=%s,name=%s", name, name))
	}
	for _, image := range c.Disks {
		args = append(args, "-drive", "if=virtio,format=raw,cache=unsafe,file="+escapeComma(image))
	}
	return args
}

// acceleration chooses the processor. The emulation of cmpxchg16b in QEMU 7.2 spoils
// flags, which Linux 6.12 meets in its allocator: half of all boots died, and none
// since the guest is told that there is no such instruction.
func acceleration(kvm bool) []string {
	if kvm {
		return []string{"-accel", "kvm", "-cpu", "host"}
	}
	return []string{"-accel", "tcg,thread=multi", "-cpu", "max,-cx16"}
}

// escapeComma writes a path for a list of options: a comma is doubled.
func escapeComma(path string) string {
	return strings.ReplaceAll(path, ",", ",,")
}
