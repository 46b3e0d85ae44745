// Package disk makes block devices that remember, and block devices that fail.
//
// A device is one file of a FUSE file system, served from memory with direct I/O, under
// a loop device: the kernel turns each flush that a file system asks of its disk into an
// fsync of the file, so the log of both is what a drive would have been told, in order.
// From the log an image is built of what may be on the drive after a power cut at any
// moment: all that was written before the last flush, and of what was written since
// nothing, a beginning, or any of its blocks.
//
// It needs root, FUSE and loop, and neither device-mapper nor a virtual machine.
//
// Source: https://docs.kernel.org/block/writeback_cache_control.html.
package disk
