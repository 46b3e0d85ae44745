package sandbox

import "golang.org/x/sys/unix"

// lastCall is the newest system call that has been judged, that of Linux 6.17
// (file_setattr): those with higher numbers do not exist inside the sandbox, so
// that a new kernel brings no new holes.
const lastCall = 469

// abi is one way into the kernel: an architecture and its numbers.
type abi struct {
	audit  uint32 // as seccomp_data.arch has it
	x32    bool   // numbers with bit 30 belong to another ABI
	oldest uint32 // last number before those that all architectures share, from 424
	number func(call) int
}

// abis holds the supported architectures, by runtime.GOARCH.
var abis = map[string]abi{
	"amd64": {unix.AUDIT_ARCH_X86_64, true, 336, func(c call) int { return c.x86_64 }},
	"arm64": {unix.AUDIT_ARCH_AARCH64, false, 294, func(c call) int { return c.aarch64 }},
}

// call is a system call with its number on each architecture, -1 where there is none.
type call struct {
	name            string
	x86_64, aarch64 int
}

// Calls whose arguments are looked at.
var (
	callClone       = call{"clone", 56, 220}
	callIoctl       = call{"ioctl", 16, 29}
	callPersonality = call{"personality", 135, 92}
	callSocket      = call{"socket", 41, 198}
)

// deniedCalls answer EPERM: they reach the machine, other programs' keys and
// memory, or namespaces, in which the kernel has had most of its holes.
var deniedCalls = []call{
	{"acct", 163, 89},
	{"add_key", 248, 217},
	{"bpf", 321, 280},
	{"chroot", 161, 51},
	{"delete_module", 176, 106},
	{"finit_module", 313, 273},
	{"get_mempolicy", 239, 236},
	{"init_module", 175, 105},
	{"ioperm", 173, -1},
	{"iopl", 172, -1},
	{"kexec_file_load", 320, 294},
	{"kexec_load", 246, 104},
	{"keyctl", 250, 219},
	{"mbind", 237, 235},
	{"migrate_pages", 256, 238},
	{"modify_ldt", 154, -1},
	{"mount", 165, 40},
	{"move_pages", 279, 239},
	{"open_by_handle_at", 304, 265},
	{"pivot_root", 155, 41},
	{"quotactl", 179, 60},
	{"quotactl_fd", 443, 443},
	{"reboot", 169, 142},
	{"request_key", 249, 218},
	{"set_mempolicy", 238, 237},
	{"set_mempolicy_home_node", 450, 450},
	{"setns", 308, 268},
	{"swapoff", 168, 225},
	{"swapon", 167, 224},
	{"syslog", 103, 116},
	{"umount2", 166, 39},
	{"unshare", 272, 97},
	{"uselib", 134, -1},
	{"userfaultfd", 323, 282},
}

// develCalls answer EPERM but with the feature devel.
var develCalls = []call{
	{"perf_event_open", 298, 241},
	{"pidfd_getfd", 438, 438},
	{"ptrace", 101, 117},
}

// absentCalls answer ENOSYS, upon which programs take an older way that the filter
// can look into: clone3 hides its flags in memory, io_uring whole calls.
var absentCalls = []call{
	{"clone3", 435, 435},
	{"fsconfig", 431, 431},
	{"fsmount", 432, 432},
	{"fsopen", 430, 430},
	{"fspick", 433, 433},
	{"io_uring_enter", 426, 426},
	{"io_uring_register", 427, 427},
	{"io_uring_setup", 425, 425},
	{"listmount", 458, 458},
	{"mount_setattr", 442, 442},
	{"move_mount", 429, 429},
	{"open_tree", 428, 428},
	{"open_tree_attr", 467, 467},
	{"statmount", 457, 457},
}

// newNamespaces are the flags of clone(2) that make one; CLONE_NEWTIME is none of
// them there.
const newNamespaces = unix.CLONE_NEWCGROUP | unix.CLONE_NEWIPC | unix.CLONE_NEWNET | unix.CLONE_NEWNS |
	unix.CLONE_NEWPID | unix.CLONE_NEWUSER | unix.CLONE_NEWUTS

// families are the kinds of socket that every program may have; what they reach
// depends on the network namespace.
var families = []uint32{unix.AF_UNSPEC, unix.AF_LOCAL, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK}
