//go:build amd64

package trace

import "golang.org/x/sys/unix"

// kind says what of a call has to be looked at to know whether it changes the world.
type kind int

const (
	always   kind = iota // it does
	toFile               // if the descriptor in argument fd is a file of the world
	creates              // if the flags in argument flags make or cut a file
	creates2             // the same for openat2, whose flags are in memory
	command              // if argument 1 is one of commands
	closes               // if the descriptor is a file of the world that is open for writing
	reads                // if the descriptor is a file or folder of the world
)

// call is a system call that can change the world.
type call struct {
	nr    int
	name  string
	kind  kind
	arg   int   // of the descriptor, or of the flags
	paths []int // arguments that are names, for reports
}

// creating are the flags with which opening changes something; O_TMPFILE without
// the bits that it shares with O_DIRECTORY.
const creating = unix.O_CREAT | unix.O_TRUNC | unix.O_TMPFILE&^unix.O_DIRECTORY

// changes are the calls at which programs are stopped, in any mode.
func changes() []call {
	return []call{
		{unix.SYS_OPEN, "open", creates, 1, []int{0}},
		{unix.SYS_OPENAT, "openat", creates, 2, []int{1}},
		{unix.SYS_OPENAT2, "openat2", creates2, 2, []int{1}},
		{unix.SYS_CREAT, "creat", always, 0, []int{0}},
		{unix.SYS_WRITE, "write", toFile, 0, nil},
		{unix.SYS_PWRITE64, "pwrite64", toFile, 0, nil},
		{unix.SYS_WRITEV, "writev", toFile, 0, nil},
		{unix.SYS_PWRITEV, "pwritev", toFile, 0, nil},
		{unix.SYS_PWRITEV2, "pwritev2", toFile, 0, nil},
		{unix.SYS_COPY_FILE_RANGE, "copy_file_range", toFile, 2, nil},
		{unix.SYS_SENDFILE, "sendfile", toFile, 0, nil},
		{unix.SYS_SPLICE, "splice", toFile, 2, nil},
		{unix.SYS_FSYNC, "fsync", toFile, 0, nil},
		{unix.SYS_FDATASYNC, "fdatasync", toFile, 0, nil},
		{unix.SYS_SYNCFS, "syncfs", toFile, 0, nil},
		{unix.SYS_SYNC, "sync", always, 0, nil},
		{unix.SYS_SYNC_FILE_RANGE, "sync_file_range", toFile, 0, nil},
		{unix.SYS_TRUNCATE, "truncate", always, 0, []int{0}},
		{unix.SYS_FTRUNCATE, "ftruncate", toFile, 0, nil},
		{unix.SYS_FALLOCATE, "fallocate", toFile, 0, nil},
		{unix.SYS_RENAME, "rename", always, 0, []int{0, 1}},
		{unix.SYS_RENAMEAT, "renameat", always, 0, []int{1, 3}},
		{unix.SYS_RENAMEAT2, "renameat2", always, 0, []int{1, 3}},
		{unix.SYS_LINK, "link", always, 0, []int{0, 1}},
		{unix.SYS_LINKAT, "linkat", always, 0, []int{1, 3}},
		{unix.SYS_SYMLINK, "symlink", always, 0, []int{0, 1}},
		{unix.SYS_SYMLINKAT, "symlinkat", always, 0, []int{0, 2}},
		{unix.SYS_UNLINK, "unlink", always, 0, []int{0}},
		{unix.SYS_UNLINKAT, "unlinkat", always, 0, []int{1}},
		{unix.SYS_MKDIR, "mkdir", always, 0, []int{0}},
		{unix.SYS_MKDIRAT, "mkdirat", always, 0, []int{1}},
		{unix.SYS_MKNOD, "mknod", always, 0, []int{0}},
		{unix.SYS_MKNODAT, "mknodat", always, 0, []int{1}},
		{unix.SYS_RMDIR, "rmdir", always, 0, []int{0}},
		{unix.SYS_CHMOD, "chmod", always, 0, []int{0}},
		{unix.SYS_FCHMOD, "fchmod", toFile, 0, nil},
		{unix.SYS_FCHMODAT, "fchmodat", always, 0, []int{1}},
		{unix.SYS_FCHMODAT2, "fchmodat2", always, 0, []int{1}},
		{unix.SYS_CHOWN, "chown", always, 0, []int{0}},
		{unix.SYS_LCHOWN, "lchown", always, 0, []int{0}},
		{unix.SYS_FCHOWN, "fchown", toFile, 0, nil},
		{unix.SYS_FCHOWNAT, "fchownat", always, 0, []int{1}},
		{unix.SYS_SETXATTR, "setxattr", always, 0, []int{0, 1}},
		{unix.SYS_LSETXATTR, "lsetxattr", always, 0, []int{0, 1}},
		{unix.SYS_FSETXATTR, "fsetxattr", toFile, 0, []int{1}},
		{unix.SYS_REMOVEXATTR, "removexattr", always, 0, []int{0, 1}},
		{unix.SYS_LREMOVEXATTR, "lremovexattr", always, 0, []int{0, 1}},
		{unix.SYS_FREMOVEXATTR, "fremovexattr", toFile, 0, []int{1}},
		{unix.SYS_UTIMENSAT, "utimensat", always, 0, []int{1}},
		{unix.SYS_MOUNT, "mount", always, 0, []int{0, 1, 2}},
		{unix.SYS_UMOUNT2, "umount2", always, 0, []int{0}},
		{unix.SYS_FSCONFIG, "fsconfig", always, 0, []int{2}},
		{unix.SYS_FSMOUNT, "fsmount", always, 0, nil},
		{unix.SYS_MOVE_MOUNT, "move_mount", always, 0, []int{1, 3}},
		{unix.SYS_MOUNT_SETATTR, "mount_setattr", always, 0, []int{1}},
		{unix.SYS_IOCTL, "ioctl", command, 1, nil},
	}
}

// commands are the ioctls that change files, with linux/fs.h, linux/fsverity.h,
// linux/btrfs.h and linux/loop.h as their source.
func commands() []uint32 {
	return []uint32{
		unix.FICLONE, unix.FICLONERANGE, unix.FIDEDUPERANGE,
		0x40806685,                                     // FS_IOC_ENABLE_VERITY
		0x40086602,                                     // FS_IOC_SETFLAGS
		0x5000940e, 0x5000940f, 0x50009401, 0x50009417, // BTRFS_IOC_SUBVOL_CREATE, SNAP_DESTROY, SNAP_CREATE, SNAP_CREATE_V2
		0x50009418, 0x5000943f, 0x4008941a, // BTRFS_IOC_SUBVOL_CREATE_V2, SNAP_DESTROY_V2, SUBVOL_SETFLAGS
		unix.LOOP_SET_FD, unix.LOOP_CLR_FD, unix.LOOP_SET_STATUS64, unix.LOOP_CONFIGURE,
	}
}

// more are the calls that a mode adds.
func (m Mode) more() []call {
	switch m {
	case Closes:
		return []call{{unix.SYS_CLOSE, "close", closes, 0, nil}}
	case Reads:
		return []call{
			{unix.SYS_READ, "read", reads, 0, nil},
			{unix.SYS_PREAD64, "pread64", reads, 0, nil},
			{unix.SYS_READV, "readv", reads, 0, nil},
			{unix.SYS_PREADV, "preadv", reads, 0, nil},
			{unix.SYS_GETDENTS64, "getdents64", reads, 0, nil},
		}
	}
	return nil
}

// calls are those that a mode stops at.
func (m Mode) calls() []call {
	if m == Changes {
		return changes()
	}
	return m.more()
}
