package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/larch-project/larch/internal/vm/machine"
)

// install makes a repository on a disk with fs-verity, installs an application in two
// forms, and says so; run finds both after a restart.
const (
	restartInstall = `
set -eu
mount /dev/vda /mnt
export HOME=/mnt/home LARCH_ROOT=/mnt/machine
mkdir -p $HOME /mnt/app/bin
for n in $(seq 40); do seq $n 3000 >/mnt/app/file$n; done
printf '#!/bin/sh\nset -e\ncat "$LARCH_APP"/file* >/run/all\ncksum </run/all\n' >/mnt/app/bin/sum && chmod 755 /mnt/app/bin/sum
cat /mnt/app/file* | cksum >/mnt/want
$LARCH init /mnt/repo >/dev/null
$LARCH publish /mnt/repo app/org.example.Sum/x86_64/stable /mnt/app --command sum --quiet
$LARCH remote add here /mnt/repo --root-key $($LARCH key list /mnt/repo | awk '$2 == "root" {print $1; exit}') --quiet
sync
$LARCH install sum --backend composefs --yes --quiet
$LARCH run --no-sandbox sum >/mnt/first && cmp /mnt/first /mnt/want
echo installed
sleep 600`

	restartRun = `
set -eu
mount /dev/vda /mnt
export HOME=/mnt/home LARCH_ROOT=/mnt/machine
$LARCH mount --all
$LARCH run --no-sandbox sum | cmp - /mnt/want
$LARCH verify
grep -c verity=require /proc/mounts
object=$(find /mnt/machine/objects -type f -size +8k | head -n 1)
rm -f $object && yes | head -c 9000 >$object
umount $($LARCH path sum)
echo 3 >/proc/sys/vm/drop_caches
$LARCH run --no-sandbox sum && exit 9
$LARCH verify --repair
$LARCH run --no-sandbox sum | cmp - /mnt/want && echo well`
)

// A machine loses its power right after an installation: what was installed is there
// in the next boot, its mount comes back, each read is checked by the kernel, and a
// wrong object is refused and mended.
func TestRestartBetweenInstallAndRun(t *testing.T) {
	needGuest(t)
	dir := t.TempDir()
	disk, larch := filepath.Join(dir, "disk"), filepath.Join(dir, "larch")
	build := exec.Command("go", "build", "-o", larch, "../../cmd/larch")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := newImage(disk); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", "-O", "verity", "-b", "4096", disk).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	set := "LARCH=" + larch + "\n"
	stdout, stderr, status, err := vm(t, "run", "-disk", disk, "-kill-on", "installed", "--", "sh", "-c", set+restartInstall)
	if !errors.Is(err, machine.ErrCut) || status != statusCut {
		t.Fatalf("installing: status %d, error %v\n%s%s", status, err, stdout, stderr)
	}
	stdout, stderr, status, err = vm(t, "run", "-disk", disk, "--", "sh", "-c", set+restartRun)
	if err != nil || status != 0 || !strings.HasSuffix(stdout, "well\n") {
		t.Errorf("after the restart: status %d, error %v\n%s%s", status, err, stdout, stderr)
	}
}
