package btrfssend

import (
	"encoding/binary"
	"hash/crc32"
	"io"
	"strings"

	"github.com/larch-project/larch/tree"
)

// dataSize is how much of a content one command of a version carries, in bytes: as
// much as the kernel's do, and a multiple of the block size.
func dataSize(version uint32) int {
	if version == 1 {
		return 48 << 10
	}
	return 128 << 10
}

// encoder writes commands. After an error nothing more is written.
type encoder struct {
	w       io.Writer
	version uint32
	table   *crc32.Table
	buf     []byte // the command that is being made
	ino     uint64 // number of the inode that was made last
	err     error
}

// firstIno is the number of the first inode that a btrfs gives, and MKFILE names.
const firstIno = 257

func newEncoder(w io.Writer, version uint32) *encoder {
	e := &encoder{w: w, version: version, table: crc32.MakeTable(crc32.Castagnoli), ino: firstIno - 1}
	e.buf = make([]byte, 0, dataSize(version)+16<<10)
	e.write(binary.LittleEndian.AppendUint32([]byte(magic), version))
	return e
}

func (e *encoder) write(p []byte) {
	if e.err == nil {
		_, e.err = e.w.Write(p)
	}
}

// begin starts a command.
func (e *encoder) begin(c command) *encoder {
	e.buf = append(e.buf[:0], 0, 0, 0, 0, byte(c), byte(c>>8), 0, 0, 0, 0)
	return e
}

func (e *encoder) header(a attribute, length int) {
	e.buf = append(e.buf, byte(a), byte(a>>8), byte(length), byte(length>>8))
}

func (e *encoder) number(a attribute, v uint64) *encoder {
	e.header(a, 8)
	e.buf = binary.LittleEndian.AppendUint64(e.buf, v)
	return e
}

func (e *encoder) text(a attribute, s string) *encoder {
	e.header(a, len(s))
	e.buf = append(e.buf, s...)
	return e
}

func (e *encoder) uuid(a attribute, u UUID) *encoder {
	e.header(a, uuidSize)
	e.buf = append(e.buf, u[:]...)
	return e
}

func (e *encoder) time(a attribute, t tree.Time) *encoder {
	e.header(a, timeSize)
	e.buf = binary.LittleEndian.AppendUint64(e.buf, uint64(t.Sec))
	e.buf = binary.LittleEndian.AppendUint32(e.buf, t.Nsec)
	return e
}

// path adds a path of the tree, as streams write it: without the first slash.
func (e *encoder) path(a attribute, p tree.Path) *encoder {
	return e.text(a, strings.TrimPrefix(string(p), "/"))
}

// data adds the last attribute of a command that writes.
func (e *encoder) data(p []byte) *encoder {
	if e.version == 1 {
		e.header(attrData, len(p))
	} else {
		e.buf = append(e.buf, byte(attrData), 0)
	}
	e.buf = append(e.buf, p...)
	return e
}

// end completes the command.
func (e *encoder) end() {
	binary.LittleEndian.PutUint32(e.buf, uint32(len(e.buf)-commandHeader))
	binary.LittleEndian.PutUint32(e.buf[6:], checksum(e.table, 0, e.buf))
	e.write(e.buf)
}

// checksum continues a CRC-32C as btrfs computes it: from 0, and not inverted.
func checksum(table *crc32.Table, before uint32, p []byte) uint32 {
	return ^crc32.Update(^before, table, p)
}

// make makes an inode.
func (e *encoder) make(c command, p tree.Path) *encoder {
	e.ino++
	return e.begin(c).path(attrPath, p).number(attrIno, e.ino)
}

func (e *encoder) chown(p tree.Path, uid, gid uint32) {
	e.begin(cmdChown).path(attrPath, p).number(attrUID, uint64(uid)).number(attrGID, uint64(gid)).end()
}

func (e *encoder) chmod(p tree.Path, mode uint32) {
	e.begin(cmdChmod).path(attrPath, p).number(attrMode, uint64(mode)).end()
}

func (e *encoder) utimes(p tree.Path, t tree.Time) {
	e.begin(cmdUtimes).path(attrPath, p).time(attrAtime, t).time(attrMtime, t).time(attrCtime, t).end()
}

func (e *encoder) truncate(p tree.Path, size int64) {
	e.begin(cmdTruncate).path(attrPath, p).number(attrSize, uint64(size)).end()
}

func (e *encoder) setXattr(p tree.Path, x tree.Xattr) {
	e.begin(cmdSetXattr).path(attrPath, p).text(attrXattrName, x.Name).text(attrXattrData, string(x.Value)).end()
}

func (e *encoder) rename(from, to tree.Path) {
	e.begin(cmdRename).path(attrPath, from).path(attrPathTo, to).end()
}

func (e *encoder) link(p, target tree.Path) {
	e.begin(cmdLink).path(attrPath, p).path(attrPathLink, target).end()
}

func (e *encoder) writeData(p tree.Path, offset int64, data []byte) {
	e.begin(cmdWrite).path(attrPath, p).number(attrFileOffset, uint64(offset)).data(data).end()
}
