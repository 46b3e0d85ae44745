package sandbox

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// verdict runs a filter as the kernel does, on one system call.
func verdict(t *testing.T, vm *bpf.VM, arch, number uint32, args ...uint64) uint32 {
	t.Helper()
	// The words of struct seccomp_data, each as the simulator reads it.
	words := make([]uint32, 16)
	words[0], words[1] = number, arch
	for i, a := range args {
		words[4+2*i], words[5+2*i] = uint32(a), uint32(a>>32)
	}
	var data []byte
	for _, w := range words {
		data = binary.BigEndian.AppendUint32(data, w)
	}
	v, err := vm.Run(data)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(v)
}

const (
	killed     = uint32(unix.SECCOMP_RET_KILL_PROCESS)
	passes     = uint32(unix.SECCOMP_RET_ALLOW)
	eperm      = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	enosys     = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
	nosupport  = unix.SECCOMP_RET_ERRNO | uint32(unix.EAFNOSUPPORT)
	otherABI   = uint32(unix.AUDIT_ARCH_I386)
	anotherABI = uint32(unix.AUDIT_ARCH_ARM)
)

func machine(t *testing.T, arch string, features ...string) *bpf.VM {
	t.Helper()
	vm, err := bpf.NewVM(filter(abis[arch], features))
	if err != nil {
		t.Fatal(err)
	}
	return vm
}

func TestFilterArguments(t *testing.T) {
	for arch, a := range abis {
		for _, c := range []struct {
			call     call
			args     []uint64
			features []string
			want     uint32
		}{
			{callIoctl, []uint64{0, unix.TIOCSTI}, nil, eperm},
			{callIoctl, []uint64{0, 1<<32 | unix.TIOCSTI}, nil, eperm},
			{callIoctl, []uint64{0, 0xffffffff<<32 | unix.TIOCLINUX}, nil, eperm},
			{callIoctl, []uint64{unix.TIOCSTI, unix.TCGETS}, nil, passes},
			{callIoctl, []uint64{0, unix.TIOCSTI << 32}, nil, passes},
			{callClone, []uint64{uint64(unix.SIGCHLD)}, nil, passes},
			{callClone, []uint64{unix.CLONE_VM | unix.CLONE_THREAD | unix.CLONE_VFORK}, nil, passes},
			{callClone, []uint64{unix.CLONE_NEWUSER}, nil, eperm},
			{callClone, []uint64{unix.CLONE_NEWNET | uint64(unix.SIGCHLD)}, nil, eperm},
			{callClone, []uint64{0, unix.CLONE_NEWUSER}, nil, passes},
			{callPersonality, []uint64{0}, nil, passes},
			{callPersonality, []uint64{8}, nil, eperm},
			{callPersonality, []uint64{0xffffffff}, nil, eperm},
			{callPersonality, []uint64{8}, []string{"devel"}, passes},
			{callSocket, []uint64{unix.AF_UNSPEC}, nil, passes},
			{callSocket, []uint64{unix.AF_LOCAL}, nil, passes},
			{callSocket, []uint64{unix.AF_INET}, nil, passes},
			{callSocket, []uint64{unix.AF_INET6}, nil, passes},
			{callSocket, []uint64{unix.AF_NETLINK}, nil, passes},
			{callSocket, []uint64{1<<32 | unix.AF_VSOCK}, nil, nosupport},
			{callSocket, []uint64{0xffffffff}, nil, nosupport},
			{callSocket, []uint64{unix.AF_BLUETOOTH}, nil, nosupport},
			{callSocket, []uint64{unix.AF_BLUETOOTH}, []string{"bluetooth"}, passes},
			{callSocket, []uint64{unix.AF_CAN}, []string{"bluetooth"}, nosupport},
			{callSocket, []uint64{unix.AF_CAN}, []string{"canbus", "unknown"}, passes},
		} {
			got := verdict(t, machine(t, arch, c.features...), a.audit, uint32(a.number(c.call)), c.args...)
			if got != c.want {
				t.Errorf("%s: %s%#x %q: %#x, want %#x", arch, c.call.name, c.args, c.features, got, c.want)
			}
		}
	}
}

// TestFilterNumbers goes through every number there is, on its own architecture
// and on others.
func TestFilterNumbers(t *testing.T) {
	for arch, a := range abis {
		for _, features := range [][]string{nil, {"devel"}} {
			t.Run(fmt.Sprint(arch, features), func(t *testing.T) {
				vm := machine(t, arch, features...)
				for n := range uint32(1024) {
					if got, want := verdict(t, vm, a.audit, n, 0), expected(a, n, features); got != want {
						t.Errorf("number %d: %#x, want %#x", n, got, want)
					}
					for _, foreign := range []uint32{otherABI, anotherABI, 0, ^a.audit} {
						if got := verdict(t, vm, foreign, n, 0); got != killed {
							t.Errorf("number %d of ABI %#x: %#x", n, foreign, got)
						}
					}
				}
				for _, n := range []uint32{x32Bit, x32Bit | 39, x32Bit | 512, 1 << 31, ^uint32(0)} {
					got := verdict(t, vm, a.audit, n)
					if got != killed && got != enosys || a.x32 && n&x32Bit != 0 && got != killed {
						t.Errorf("number %#x: %#x", n, got)
					}
				}
			})
		}
	}
}

// expected is the verdict on a call whose arguments are all 0.
func expected(a abi, n uint32, features []string) uint32 {
	is := func(calls []call) bool {
		return slices.ContainsFunc(calls, func(c call) bool { return a.number(c) == int(n) })
	}
	switch {
	case n > lastCall || n > a.oldest && n < 424 || is(absentCalls):
		return enosys
	case is(deniedCalls) || is(develCalls) && features == nil:
		return eperm
	}
	return passes
}

// TestFilterKnowsFlatpaksVerdicts holds the filter to what Flatpak's own refuses;
// what it refuses besides is in spec/10-sandbox.md.
func TestFilterKnowsFlatpaksVerdicts(t *testing.T) {
	denied := []string{
		"ptrace", "syslog", "uselib", "modify_ldt", "pivot_root", "chroot", "acct", "mount", "umount2", "quotactl", "mbind",
		"set_mempolicy", "get_mempolicy", "add_key", "request_key", "keyctl", "migrate_pages", "unshare", "move_pages", "perf_event_open", "setns",
	}
	absent := []string{"open_tree", "move_mount", "fsopen", "fsconfig", "fsmount", "fspick", "clone3", "mount_setattr"}
	name := func(c call) string { return c.name }
	for _, n := range denied {
		if !slices.Contains(mapped(slices.Concat(deniedCalls, develCalls), name), n) {
			t.Errorf("%s is not denied", n)
		}
	}
	for _, n := range absent {
		if !slices.Contains(mapped(absentCalls, name), n) {
			t.Errorf("%s is not absent", n)
		}
	}
}

func mapped[T, R any](from []T, f func(T) R) (to []R) {
	for _, v := range from {
		to = append(to, f(v))
	}
	return to
}

func TestNumbersAreThoseOfTheKernel(t *testing.T) {
	if hostNumbers == nil {
		t.Skip("no table of system calls for this architecture")
	}
	for _, c := range slices.Concat(deniedCalls, develCalls, absentCalls, []call{callClone, callIoctl, callPersonality, callSocket}) {
		if got, want := hostABI(t).number(c), hostNumbers(c.name); got != want {
			t.Errorf("%s: %d, want %d", c.name, got, want)
		}
	}
}

func hostABI(t *testing.T) abi {
	for arch, a := range abis {
		if data, err := filterBytes(arch, nil); err != nil || len(data)%8 != 0 || len(data) > 4096*8 {
			t.Errorf("%s: %d bytes, %v", arch, len(data), err)
		}
		if a.audit == nativeAudit {
			return a
		}
	}
	t.Skip("no filter for this architecture")
	return abi{}
}

func TestNoFilterNoSandbox(t *testing.T) {
	if _, err := filterBytes("pdp11", nil); err == nil {
		t.Error("a filter for an unknown architecture")
	}
}
