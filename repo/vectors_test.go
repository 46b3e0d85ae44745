package repo_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/larch-project/larch/internal/sealed"
	"github.com/larch-project/larch/repo"
)

// deltaVector is one of spec/vectors/repository/deltas.json.
type deltaVector struct {
	Name      string
	Plan      string // before compression, hexadecimal
	TreeFrame int64
	Delta     repo.Delta // Head and offsets for a plan that is stored as a raw block
}

// mapVector is one of spec/vectors/repository/maps.json.
type mapVector struct {
	Name  string
	Map   string // before it is sealed, hexadecimal
	Edges []repo.Edge
}

func readVectors[T any](t *testing.T, name string) (list []T) {
	t.Helper()
	data, err := os.ReadFile("../spec/vectors/repository/" + name)
	if err == nil {
		err = json.Unmarshal(data, &list)
	}
	if err != nil || len(list) == 0 {
		t.Fatalf("%d vectors, %v", len(list), err)
	}
	return list
}

func TestDeltaVectors(t *testing.T) {
	for _, v := range readVectors[deltaVector](t, "deltas.json") {
		plan, err := hex.DecodeString(v.Plan)
		if err != nil {
			t.Fatal(err)
		}
		file := append([]byte("larch delta 1\n"), binary.AppendUvarint(nil, uint64(len(raw(plan))))...)
		d, err := repo.ReadDelta(bufio.NewReader(bytes.NewReader(append(file, raw(plan)...))), 1<<16)
		if err != nil {
			t.Errorf("%s: %v", v.Name, err)
			continue
		}
		if diff := cmp.Diff(&v.Delta, d, cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".tree" || p.Last().String() == ".plain" }, cmp.Ignore())); diff != "" {
			t.Errorf("%s (-want +have):\n%s", v.Name, diff)
		}
		var again bytes.Buffer
		if err := d.EncodePlan(&again, v.TreeFrame); err != nil || hex.EncodeToString(again.Bytes()) != v.Plan {
			t.Errorf("%s is written as %x, %v", v.Name, again.Bytes(), err)
		}
	}
}

// raw stores bytes as a Zstandard frame of one raw block (RFC 8878 §3.1.1).
func raw(p []byte) []byte {
	frame := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x60, 0, 0}
	binary.LittleEndian.PutUint16(frame[5:], uint16(len(p)-256))
	if len(p) < 256 {
		frame = []byte{0x28, 0xb5, 0x2f, 0xfd, 0x20, byte(len(p))}
	}
	header := uint32(len(p))<<3 | 1
	return append(append(frame, byte(header), byte(header>>8), byte(header>>16)), p...)
}

func TestMapVectors(t *testing.T) {
	for _, v := range readVectors[mapVector](t, "maps.json") {
		plain, err := hex.DecodeString(v.Map)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := sealed.Encode(plain)
		if err != nil {
			t.Fatal(err)
		}
		edges, err := repo.ReadDeltaMap(bytes.NewReader(doc))
		if diff := cmp.Diff(v.Edges, edges); diff != "" || err != nil {
			t.Errorf("%s (-want +have): %v\n%s", v.Name, err, diff)
		}
		again, err := repo.EncodeDeltaMap(v.Edges)
		if err != nil || !bytes.Equal(again, doc) {
			t.Errorf("%s is written otherwise, %v", v.Name, err)
		}
	}
}
