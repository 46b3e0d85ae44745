// Command powercut cuts the power of the machines on which larch runs.
//
//	go run ./internal/powercut                    a sample of every command on ext4, XFS and btrfs
//	go run ./internal/powercut -all               all of it: the tables of docs/reliability.md
//	go run ./internal/powercut -only ext4/update  one of them
//	go run ./internal/powercut -peers             the same for OSTree
//
// A command, the real program, runs on a disk that records (internal/powercut/disk).
// Before its system calls that change something, a file that has nothing to do with it is
// synced, about every second time (internal/powercut/intercept), so that what the command
// has not yet asked to be durable is durable in part, as it is on a busy machine. For every
// moment between two flushes images are built of what a drive may hold after a power cut
// then; each is mounted, and judged: the tool starts; what it says is the state before the
// command or the one after it, the latter if the command had ended; every content is as
// published, and the program runs; the oracle (larch verify, larch check) finds nothing;
// the same command, given again, reaches the new state; and then nothing is left behind.
//
// The control is the same with every fsync, fdatasync and syncfs of the command answered
// "done" by the harness, without being done. If no damage is found then, the harness would
// not find a forgotten one in the product either, and what it says is void.
//
// Beside it, as tests: disks that are full, that run out of inodes, that become read-only,
// and that fail.
package main
