package machine

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/larch-project/larch/internal/vm/kernel"
)

// A trigger fires at the text, wherever the pieces end, once, and passes all on.
func TestTrigger(t *testing.T) {
	const all = "it is no now, and now!! now!!"
	for size := 1; size <= len(all); size++ {
		var out bytes.Buffer
		var fired []string
		tr := &trigger{out: &out, text: []byte("now!!"), fire: func() { fired = append(fired, out.String()) }}
		for piece := range slices.Chunk([]byte(all), size) {
			if n, err := tr.Write(piece); n != len(piece) || err != nil {
				t.Fatal(n, err)
			}
		}
		if out.String() != all {
			t.Errorf("pieces of %d: %q went through", size, out.String())
		}
		if len(fired) != 1 || !strings.Contains(fired[0], "now!!") {
			t.Errorf("pieces of %d: fired at %q", size, fired)
		}
	}
	tr := &trigger{out: new(bytes.Buffer), text: []byte("now!!"), fire: func() { t.Error("fired without the text") }}
	for _, piece := range []string{"now!", "", " now", "! !!"} {
		tr.Write([]byte(piece))
	}
}

func TestWatch(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	w := newWatch(nil, "", cancel)
	if err := w.events(strings.NewReader("up\nexit 0\nexit 3\n")); err != nil {
		t.Fatal(err)
	}
	if got := w.statuses(); !w.isUp() || !slices.Equal(got, []int{0, 3}) {
		t.Errorf("up %v, statuses %v", w.isUp(), got)
	}
	if w.tooLate(); ctx.Err() != nil {
		t.Error("a machine that was up was ended as one that was not")
	}
	if err := w.events(strings.NewReader("nonsense\n")); err == nil {
		t.Error("nonsense was taken for an event")
	}
	newWatch(nil, "", cancel).tooLate()
	if cause := context.Cause(ctx); !errors.Is(cause, errBoot) {
		t.Errorf("a machine that did not come up: %v", cause)
	}
}

func TestArguments(t *testing.T) {
	args := arguments("/dir", Config{Kernel: kernel.Kernel{}, Memory: 300, Disks: []string{"/a,b", "/c"}})
	for _, want := range []string{
		"memory-backend-memfd,id=memory,size=300M,share=on",
		"if=virtio,format=raw,cache=unsafe,file=/a,,b",
		"file,id=out,path=/dev/fd/3", "file,id=err,path=/dev/fd/4", "file,id=event,path=/dev/fd/5",
		"max,-cx16",
	} {
		if !slices.Contains(args, want) {
			t.Errorf("%q is not in %q", want, args)
		}
	}
	if kvm := arguments("/dir", Config{KVM: true}); !slices.Contains(kvm, "host") || slices.Contains(kvm, "max,-cx16") {
		t.Errorf("with KVM: %q", kvm)
	}
}

func TestMustBeStatic(t *testing.T) {
	if err := mustBeStatic("/proc/self/exe"); err != nil && !strings.Contains(err.Error(), "CGO_ENABLED=0") {
		t.Error(err)
	}
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := mustBeStatic(text); err == nil {
		t.Error("a script was taken for a static program")
	}
}
