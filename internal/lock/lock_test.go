package lock

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func file(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestExclusiveKeepsOthersOut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	first, second := file(t, path), file(t, path)
	if err := Exclusive(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	for name, try := range map[string]func(*os.File) (bool, error){"exclusive": TryExclusive, "shared": TryShared} {
		if held, err := try(second); held || err != nil {
			t.Errorf("%s beside exclusive: %v, %v", name, held, err)
		}
	}
	cause := errors.New("no more patience")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	if err := Exclusive(ctx, second); !errors.Is(err, cause) {
		t.Errorf("waiting beyond the context: %v", err)
	}
	first.Close()
	if err := Shared(t.Context(), second); err != nil {
		t.Errorf("after the holder closed: %v", err)
	}
}

func TestSharedIsShared(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	first, second := file(t, path), file(t, path)
	if err := Shared(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	if held, err := TryShared(second); !held || err != nil {
		t.Errorf("shared beside shared: %v, %v", held, err)
	}
	if held, err := TryExclusive(file(t, path)); held || err != nil {
		t.Errorf("exclusive beside shared: %v, %v", held, err)
	}
}
