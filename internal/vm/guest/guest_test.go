package guest

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEvent(t *testing.T) {
	for _, e := range []Event{{Up: true}, {}, {Status: 7}, {Status: 255}} {
		if got, err := ParseEvent(e.String()); got != e || err != nil {
			t.Errorf("%q is read as %+v, error %v", e.String(), got, err)
		}
	}
	for _, line := range []string{"", "down", "exit", "exit ", "exit x", "exit -1", "exit 256", "7", "up "} {
		if got, err := ParseEvent(line); err == nil {
			t.Errorf("%q is read as %+v", line, got)
		}
	}
}

func TestMountPoints(t *testing.T) {
	got := mountPoints(`20 1 0:18 / / rw - overlay overlay rw
21 20 0:5 / /dev rw - devtmpfs devtmpfs rw
22 21 0:20 / /dev/shm rw - tmpfs tmpfs rw
23 20 0:4 / /proc rw - proc proc rw
24 20 0:21 / /run rw - tmpfs tmpfs rw
25 24 254:0 / /run/vm\040ext4 rw - ext4 /dev/vda rw
26 20 254:16 / /device rw - ext4 /dev/vdb rw
short line
`)
	want := []string{"/device", "/run/vm ext4", "/run"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWaitGivesStatus(t *testing.T) {
	for script, want := range map[string]int{"exit 0": 0, "exit 7": 7, "kill -9 $$": 137} {
		p := ports{stdout: 1, stderr: 2}
		if got := run(Command{Args: []string{"sh", "-c", script}, Dir: t.TempDir()}, p); got != want {
			t.Errorf("%s: status %d, want %d", script, got, want)
		}
	}
}
