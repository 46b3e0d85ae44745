package store

import (
	"context"
	"encoding/binary"
	"errors"
	"testing"
)

// BenchmarkBatch stores 4,096 objects of 8 KiB with one goroutine, durably.
func BenchmarkBatch(b *testing.B) {
	data := content("benchmark", 8192)
	b.SetBytes(4096 * 8192)
	for run := range b.N {
		s := opened(b, b.TempDir(), nil)
		batch := s.NewBatch(context.Background())
		for i := range 4096 {
			binary.LittleEndian.PutUint64(data, uint64(run<<20+i))
			w, err := batch.Create(object(data, false))
			if err != nil {
				b.Fatal(err)
			}
			if _, err := w.Write(data); err != nil {
				b.Fatal(err)
			}
			if err := w.Commit(); err != nil {
				b.Fatal(err)
			}
		}
		if err := errors.Join(batch.Flush(context.Background()), batch.Close(), s.End()); err != nil {
			b.Fatal(err)
		}
	}
}
