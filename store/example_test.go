package store_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/store"
)

// Content is checked on its way in, gets its name behind a barrier, and is found
// by digest and run bit.
func Example() {
	path, err := os.MkdirTemp("", "store")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(path)
	dir, err := beneath.Open(path)
	if err != nil {
		log.Fatal(err)
	}
	defer dir.Close()
	s, err := store.Open(dir)
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()

	content := []byte("#!/bin/sh\necho a program of more than sixty-four bytes, which is not in the tree\n")
	program := store.Object{Digest: digest.Of(content), Size: int64(len(content)), Executable: true}
	if err := add(s, program, content); err != nil {
		log.Fatal(err)
	}
	fmt.Println(s.Has(program), s.Has(program.Twin()))

	f, err := s.Open(program)
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	fmt.Println(len(data), err)
	// Output:
	// true false
	// 81 <nil>
}

func add(s *store.Store, o store.Object, content []byte) error {
	ctx := context.Background()
	b := s.NewBatch(ctx)
	defer b.Close()
	w, err := b.Create(o)
	if err != nil {
		return err
	}
	if _, err := w.Write(content); err != nil {
		w.Abort()
		return err
	}
	if err := w.Commit(); err != nil {
		return err
	}
	if err := b.Flush(ctx); err != nil {
		return err
	}
	return s.End() // what is in the store survives a power cut from here on
}
