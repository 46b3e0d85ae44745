package intercept

import "golang.org/x/sys/unix"

const arch = unix.AUDIT_ARCH_X86_64

// older are the calls that only this architecture has.
var older = []uintptr{
	unix.SYS_RENAME, unix.SYS_LINK, unix.SYS_SYMLINK, unix.SYS_UNLINK, unix.SYS_RMDIR, unix.SYS_MKDIR,
	unix.SYS_CHMOD, unix.SYS_CHOWN, unix.SYS_LCHOWN, unix.SYS_TRUNCATE,
}
