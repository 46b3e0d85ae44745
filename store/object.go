package store

import (
	"encoding/hex"
	"errors"
	"strings"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/tree"
)

// Object is content in one form: the same content with and without the run bit
// is two objects, each the twin of the other.
type Object struct {
	Digest     digest.Digest
	Size       int64 // bytes
	Executable bool
}

// ObjectOf gives the object that holds the content of a regular file of a tree.
// Content of at most tree.InlineMax bytes is in the tree, not in the store.
func ObjectOf(e *tree.Entry) Object {
	return Object{Digest: e.Digest, Size: e.Size, Executable: e.Executable()}
}

// Twin gives the same content in the other form.
func (o Object) Twin() Object {
	o.Executable = !o.Executable
	return o
}

// String names the object for people.
func (o Object) String() string { return "object " + o.Digest.Short() }

// Mode gives the permission bits of the object's file.
func (o Object) Mode() uint32 {
	if o.Executable {
		return 0o555
	}
	return 0o444
}

// runSuffix marks the names of objects with the run bit.
const runSuffix = ".x"

// folder is the number of the folder below objects/ that holds o.
func (o Object) folder() int { return int(o.Digest[0]) }

// base is o's name in its folder.
func (o Object) base() string {
	var name [2*(digest.Size-1) + len(runSuffix)]byte
	b := hex.AppendEncode(name[:0], o.Digest[1:])
	if o.Executable {
		b = append(b, runSuffix...)
	}
	return string(b)
}

// path is o's name below objects/.
func (o Object) path() string { return folderName(o.folder()) + "/" + o.base() }

// Name is where the object is below the store.
func (o Object) Name() string { return "objects/" + o.path() }

func folderName(i int) string { return hex.EncodeToString([]byte{byte(i)}) }

var errName = errors.New("not the name of an object")

// parseObject is the inverse of path; the size stays 0.
func parseObject(path string) (Object, error) {
	text, run := strings.CutSuffix(path, runSuffix)
	if len(text) < 3 || text[2] != '/' {
		return Object{}, errName
	}
	d, err := digest.Parse(text[:2] + text[3:])
	if err != nil {
		return Object{}, errName
	}
	return Object{Digest: d, Executable: run}, nil
}
