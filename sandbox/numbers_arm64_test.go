package sandbox

import "golang.org/x/sys/unix"

const nativeAudit = unix.AUDIT_ARCH_AARCH64

// hostNumbers gives the numbers that the tests need, as x/sys has them.
var hostNumbers = func(name string) int {
	if n, ok := numbersByName[name]; ok {
		return n
	}
	return -1
}

var numbersByName = map[string]int{
	"acct":                    unix.SYS_ACCT,
	"add_key":                 unix.SYS_ADD_KEY,
	"bpf":                     unix.SYS_BPF,
	"chroot":                  unix.SYS_CHROOT,
	"clone":                   unix.SYS_CLONE,
	"clone3":                  unix.SYS_CLONE3,
	"delete_module":           unix.SYS_DELETE_MODULE,
	"finit_module":            unix.SYS_FINIT_MODULE,
	"fsconfig":                unix.SYS_FSCONFIG,
	"fsmount":                 unix.SYS_FSMOUNT,
	"fsopen":                  unix.SYS_FSOPEN,
	"fspick":                  unix.SYS_FSPICK,
	"get_mempolicy":           unix.SYS_GET_MEMPOLICY,
	"init_module":             unix.SYS_INIT_MODULE,
	"io_uring_enter":          unix.SYS_IO_URING_ENTER,
	"io_uring_register":       unix.SYS_IO_URING_REGISTER,
	"io_uring_setup":          unix.SYS_IO_URING_SETUP,
	"ioctl":                   unix.SYS_IOCTL,
	"kexec_file_load":         unix.SYS_KEXEC_FILE_LOAD,
	"kexec_load":              unix.SYS_KEXEC_LOAD,
	"keyctl":                  unix.SYS_KEYCTL,
	"listmount":               unix.SYS_LISTMOUNT,
	"mbind":                   unix.SYS_MBIND,
	"migrate_pages":           unix.SYS_MIGRATE_PAGES,
	"mount":                   unix.SYS_MOUNT,
	"mount_setattr":           unix.SYS_MOUNT_SETATTR,
	"move_mount":              unix.SYS_MOVE_MOUNT,
	"move_pages":              unix.SYS_MOVE_PAGES,
	"open_by_handle_at":       unix.SYS_OPEN_BY_HANDLE_AT,
	"open_tree":               unix.SYS_OPEN_TREE,
	"open_tree_attr":          unix.SYS_OPEN_TREE_ATTR,
	"perf_event_open":         unix.SYS_PERF_EVENT_OPEN,
	"personality":             unix.SYS_PERSONALITY,
	"pidfd_getfd":             unix.SYS_PIDFD_GETFD,
	"pivot_root":              unix.SYS_PIVOT_ROOT,
	"ptrace":                  unix.SYS_PTRACE,
	"quotactl":                unix.SYS_QUOTACTL,
	"quotactl_fd":             unix.SYS_QUOTACTL_FD,
	"read":                    unix.SYS_READ,
	"reboot":                  unix.SYS_REBOOT,
	"request_key":             unix.SYS_REQUEST_KEY,
	"set_mempolicy":           unix.SYS_SET_MEMPOLICY,
	"set_mempolicy_home_node": unix.SYS_SET_MEMPOLICY_HOME_NODE,
	"setns":                   unix.SYS_SETNS,
	"socket":                  unix.SYS_SOCKET,
	"statmount":               unix.SYS_STATMOUNT,
	"swapoff":                 unix.SYS_SWAPOFF,
	"swapon":                  unix.SYS_SWAPON,
	"syslog":                  unix.SYS_SYSLOG,
	"umount2":                 unix.SYS_UMOUNT2,
	"uname":                   unix.SYS_UNAME,
	"unshare":                 unix.SYS_UNSHARE,
	"userfaultfd":             unix.SYS_USERFAULTFD,
}
