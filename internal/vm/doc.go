// Vm runs commands and tests on other kernels than the machine's own, in small
// virtual machines that see the machine's files: for fs-verity, device-mapper, and
// whatever else the kernel here lacks, or has in one version only.
//
//	vm setup [KERNEL...]           fetch kernels (all of them) and install QEMU
//	vm run [FLAGS] -- COMMAND ARG...
//	vm test [FLAGS] [PACKAGE...]   run the tests of packages on each kernel
//
// It is for Debian on amd64, as root: kernels and programs come from the mirror
// that the machine's apt is set up with. Kernels are kept in larch-vm below the
// user's cache folder, or where -cache says; each takes about 130 MB. Where KVM can
// boot them they run at full speed. Elsewhere they are emulated: a boot takes 3 to 5
// seconds on an idle machine and about 10 on a busy one, and what runs takes about
// ten times as long.
//
// `go run ./internal/vm` serves for all of it, but go run makes every exit status
// other than 0 a 1. Where the status matters, build it; without cgo, since it is
// its guests' first process, too, and must not need a dynamic linker:
//
//	CGO_ENABLED=0 go build -o /tmp/vm ./internal/vm
//
// # Commands
//
// A command runs as root, in the current folder, and finds the machine's whole tree
// at /. What it changes is lost in the end, except below the folders that -write
// names, and on the disks that -disk names, which are /dev/vda, /dev/vdb and so on.
// There is no network but the guest's own loopback, and no stdin. /run is in memory.
// The exit status is the command's, or
//
//	2    the flags are wrong
//	124  it took longer than -timeout
//	125  the guest died, and the end of its console was printed; or there was none
//	126  the command could not be executed
//	127  there is no such command
//	137  the power was cut: -kill-on
//
// A disk lives on between two machines, so that one restarts, in effect, between
// two commands; and with -kill-on that is after a power cut:
//
//	truncate -s 1G /tmp/disk && mkfs.ext4 -q -O verity -b 4096 /tmp/disk
//	/tmp/vm run -disk /tmp/disk -kill-on installing -- \
//		sh -c 'mount /dev/vda /mnt && touch /mnt/begun && sync && echo installing && sleep 60'
//	/tmp/vm run -disk /tmp/disk -- sh -c 'mount /dev/vda /mnt && ls -l /mnt/begun'
//
// A power cut keeps everything that the guest's kernel had written to the disk, and
// loses what it still had in memory. A disk that loses what it was not asked to
// make durable is not imitated.
//
// # Tests
//
// The test binaries are built here, and run one after another in one boot of each
// kernel. They find an ext4 file system with fs-verity at /run/vm-ext4, which
// TMPDIR is on, a btrfs named by LARCH_VM_BTRFS, and in LARCH_VM the kernel's
// series; the variables LARCH_* of the environment are passed on. The exit status is
// 1 if any test failed on any kernel, or any could not be run.
//
// An emulated kernel sometimes dies in early boot. Then it is booted once more, and
// that is said.
package main
