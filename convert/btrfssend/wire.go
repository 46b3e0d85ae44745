package btrfssend

import (
	"encoding/hex"
	"fmt"
)

// magic begins a stream; its terminating NUL counts.
const magic = "btrfs-stream\x00"

// Lengths in bytes.
const (
	streamHeader  = len(magic) + 4 // magic, version
	commandHeader = 10             // length of what follows the header, command, CRC
	uuidSize      = 16
	timeSize      = 12 // seconds, nanoseconds
)

// MaxVersion is the newest version of the format that is read.
const MaxVersion = 3

// command is the number of a command.
type command uint16

const (
	cmdSubvol command = iota + 1
	cmdSnapshot
	cmdMkfile
	cmdMkdir
	cmdMknod
	cmdMkfifo
	cmdMksock
	cmdSymlink
	cmdRename
	cmdLink
	cmdUnlink
	cmdRmdir
	cmdSetXattr
	cmdRemoveXattr
	cmdWrite
	cmdClone
	cmdTruncate
	cmdChmod
	cmdChown
	cmdUtimes
	cmdEnd
	cmdUpdateExtent
	cmdFallocate // from here on: version 2
	cmdFileattr
	cmdEncodedWrite
	cmdEnableVerity // version 3
)

// attribute is the number of an attribute of a command.
type attribute uint16

const (
	attrUUID attribute = iota + 1
	attrCtransid
	attrIno
	attrSize
	attrMode
	attrUID
	attrGID
	attrRdev
	attrCtime
	attrMtime
	attrAtime
	attrOtime
	attrXattrName
	attrXattrData
	attrPath
	attrPathTo
	attrPathLink
	attrFileOffset
	attrData
	attrCloneUUID
	attrCloneCtransid
	attrClonePath
	attrCloneOffset
	attrCloneLen
	attrFallocateMode // from here on: version 2
	attrFileattr
	attrUnencodedFileLen
	attrUnencodedLen
	attrUnencodedOffset
	attrCompression
	attrEncryption
	attrVerityAlgorithm // from here on: version 3
	attrVerityBlockSize
	attrVeritySalt
	attrVeritySignature

	attrCount
)

// shape is the form of an attribute's value.
type shape uint8

const (
	text   shape = iota // of any length: names and paths, and data
	number              // little endian, of 1, 2, 4 or 8 bytes: see sizeOf
	uuid
	timestamp
)

// form describes one kind of command.
type form struct {
	name  string
	since uint32 // version of the format
	needs []attribute
	may   []attribute
}

// forms lists the commands by their numbers.
func forms() []form {
	created := []attribute{attrPath, attrIno}
	node := []attribute{attrPath, attrIno, attrMode, attrRdev}
	device := []attribute{attrMode, attrRdev}
	return []form{
		cmdSubvol:   {name: "subvol", since: 1, needs: []attribute{attrPath, attrUUID, attrCtransid}},
		cmdSnapshot: {name: "snapshot", since: 1, needs: []attribute{attrPath, attrUUID, attrCtransid, attrCloneUUID, attrCloneCtransid}},
		cmdMkfile:   {name: "mkfile", since: 1, needs: created},
		cmdMkdir:    {name: "mkdir", since: 1, needs: created},
		cmdMknod:    {name: "mknod", since: 1, needs: node},
		// The kernel gives fifos and sockets the attributes of devices, too.
		cmdMkfifo:      {name: "mkfifo", since: 1, needs: created, may: device},
		cmdMksock:      {name: "mksock", since: 1, needs: created, may: device},
		cmdSymlink:     {name: "symlink", since: 1, needs: []attribute{attrPath, attrIno, attrPathLink}},
		cmdRename:      {name: "rename", since: 1, needs: []attribute{attrPath, attrPathTo}},
		cmdLink:        {name: "link", since: 1, needs: []attribute{attrPath, attrPathLink}},
		cmdUnlink:      {name: "unlink", since: 1, needs: []attribute{attrPath}},
		cmdRmdir:       {name: "rmdir", since: 1, needs: []attribute{attrPath}},
		cmdSetXattr:    {name: "set_xattr", since: 1, needs: []attribute{attrPath, attrXattrName, attrXattrData}},
		cmdRemoveXattr: {name: "remove_xattr", since: 1, needs: []attribute{attrPath, attrXattrName}},
		cmdWrite:       {name: "write", since: 1, needs: []attribute{attrPath, attrFileOffset, attrData}},
		cmdClone: {name: "clone", since: 1, needs: []attribute{attrPath, attrFileOffset, attrCloneLen, attrCloneUUID,
			attrCloneCtransid, attrClonePath, attrCloneOffset}},
		cmdTruncate:     {name: "truncate", since: 1, needs: []attribute{attrPath, attrSize}},
		cmdChmod:        {name: "chmod", since: 1, needs: []attribute{attrPath, attrMode}},
		cmdChown:        {name: "chown", since: 1, needs: []attribute{attrPath, attrUID, attrGID}},
		cmdUtimes:       {name: "utimes", since: 1, needs: []attribute{attrPath, attrAtime, attrMtime, attrCtime}, may: []attribute{attrOtime}},
		cmdEnd:          {name: "end", since: 1},
		cmdUpdateExtent: {name: "update_extent", since: 1, needs: []attribute{attrPath, attrFileOffset, attrSize}},
		cmdFallocate:    {name: "fallocate", since: 2, needs: []attribute{attrPath, attrFallocateMode, attrFileOffset, attrSize}},
		cmdFileattr:     {name: "fileattr", since: 2, needs: []attribute{attrPath, attrFileattr}},
		cmdEncodedWrite: {name: "encoded_write", since: 2, needs: []attribute{attrPath, attrFileOffset, attrUnencodedFileLen,
			attrUnencodedLen, attrUnencodedOffset, attrData}, may: []attribute{attrCompression, attrEncryption}},
		cmdEnableVerity: {name: "enable_verity", since: 3, needs: []attribute{attrPath, attrVerityAlgorithm, attrVerityBlockSize,
			attrVeritySalt, attrVeritySignature}},
	}
}

// shapeOf says how the value of an attribute is written, and its length in bytes;
// 0 is any.
func shapeOf(a attribute) (shape, int) {
	switch a {
	case attrUUID, attrCloneUUID:
		return uuid, uuidSize
	case attrCtime, attrMtime, attrAtime, attrOtime:
		return timestamp, timeSize
	case attrXattrName, attrXattrData, attrPath, attrPathTo, attrPathLink, attrData, attrClonePath, attrVeritySalt, attrVeritySignature:
		return text, 0
	case attrVerityAlgorithm:
		return number, 1
	case attrFallocateMode, attrCompression, attrEncryption, attrVerityBlockSize:
		return number, 4
	}
	return number, 8
}

// sinceVersion is the version of the format in which an attribute came.
func sinceVersion(a attribute) uint32 {
	switch {
	case a >= attrVerityAlgorithm:
		return 3
	case a >= attrFallocateMode:
		return 2
	}
	return 1
}

// UUID names a subvolume.
type UUID [uuidSize]byte

// String writes it as btrfs does.
func (u UUID) String() string {
	h := hex.EncodeToString(u[:])
	return fmt.Sprintf("%s-%s-%s-%s-%s", h[:8], h[8:12], h[12:16], h[16:20], h[20:])
}
