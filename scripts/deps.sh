#!/bin/sh
# Installs what tests and benchmarks use beyond Go, from Debian's packages, and
# does nothing where all of it is there. With --if-possible it does nothing, too,
# where it cannot: tests that miss something say so and are skipped. Packages that are
# named are installed too.
set -eu

# bubblewrap: sandbox tests. strace: fault tests from outside. fuse3: mounts without
# root. erofs-utils: a second opinion on images. e2fsprogs, btrfs-progs, xfsprogs and xz:
# disks of other kinds. qemu: other kernels, in virtual machines. The rest: benchmarks.
packages="bubblewrap strace fuse3 erofs-utils qemu-system-x86 qemu-system-common e2fsprogs btrfs-progs xfsprogs xz-utils ostree casync bsdiff zstd curl tar attr"
possible=
[ "${1:-}" != --if-possible ] || { possible=yes; shift; }
packages="$packages $*"
missing=
for package in $packages; do
	dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done 2>/dev/null
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
	[ -n "$possible" ] || { echo "deps: need root and apt-get to install:$missing" >&2; exit 1; }
	echo "deps: not root on Debian, so not installed:$missing"
	exit 0
fi
echo "deps: installing$missing"
export DEBIAN_FRONTEND=noninteractive
if [ ! -e /usr/sbin/policy-rc.d ]; then # nothing that is installed starts to serve
	trap 'rm -f /usr/sbin/policy-rc.d' EXIT
	printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
	chmod 755 /usr/sbin/policy-rc.d
fi
apt-get update -qq
# shellcheck disable=SC2086 # the list is split on purpose
apt-get install -y -qq --no-install-recommends $missing >/dev/null
