#!/bin/sh
# The main job on real input, as somebody would do it by hand: a real application
# (Larch itself, with its documents) is built and published in two versions, served
# over HTTP on 127.0.0.1, installed without root, run, updated, undone, verified and
# removed. Everything happens in a temporary folder, which is removed at the end.
set -eu

larch=${LARCH:-bin/larch}
go=${GO:-go}
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; chmod -R u+w "$work"; rm -rf "$work"' EXIT
export HOME="$work/home" XDG_CONFIG_HOME="$work/config" XDG_DATA_HOME="$work/data" LARCH_ROOT="$work/machine"
mkdir -p "$HOME"
PATH=$(dirname "$larch"):$PATH
case $(uname -m) in x86_64) arch=x86_64 ;; aarch64) arch=aarch64 ;; *) arch=$(uname -m) ;; esac
ref=app/org.larch.Larch/$arch/stable

step() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
run() { printf '$ %s\n' "$*"; "$@"; }

build() { # version: the application's folder, as its developer would make it
	mkdir -p "$work/app-$1/bin" "$work/app-$1/share/doc/larch"
	HOME=$builder_home CGO_ENABLED=0 $go build -trimpath -ldflags "-s -w -X main.version=$1" -o "$work/app-$1/bin/larch" ./cmd/larch
	cp README.md LICENSE ARCHITECTURE.md CHANGELOG.md "$work/app-$1/share/doc/larch"
	cp -r spec docs "$work/app-$1/share/doc/larch"
	echo "$1" > "$work/app-$1/share/doc/larch/VERSION"
}

# The compiler's cache stays the user's own.
builder_home=$(getent passwd "$(id -u)" 2>/dev/null | cut -d: -f6) || true
[ -n "${builder_home:-}" ] || builder_home=$HOME

step "Build a real application in two versions"
build 1.0.0
build 1.1.0
du -sh "$work/app-1.0.0" | sed "s|$work/||"

cd "$work"

step "Publish: make a repository and its keys, and publish version 1.0.0"
run larch init repo
fingerprint=$(larch key list repo | awk '$2 == "root" {print $1; exit}')
run larch publish repo "$ref" app-1.0.0 --command larch --version 1.0.0 --annotate title=Larch

step "Serve it: a repository is static files"
larch serve repo --listen 127.0.0.1:0 --json > serving &
server=$!
while ! [ -s serving ]; do kill -0 "$server"; done
url=$(sed -n 's/.*"url": "\(.*\)".*/\1/p' serving)
find repo -type f | sed "s|\(/[0-9a-f]\{8\}\)[0-9a-f]*|\1…|" | sort

step "Install: trust starts with the fingerprint; no root needed"
run larch remote add demo "$url" --root-key "$fingerprint"
run larch search larch
run larch install larch --yes
run larch path larch

step "Run it, isolated: no network, no home, the machine's /usr read-only"
if command -v bwrap >/dev/null; then
	isolated=
else
	echo "(bubblewrap is not installed here, so the program runs without isolation, which has to be asked for)"
	isolated=--no-sandbox
fi
run larch run $isolated larch -- version

step "Update: publish 1.1.0; the machine fetches what it lacks, and switches in one step"
run larch publish repo "$ref" app-1.1.0 --version 1.1.0 --command larch --annotate title=Larch
run larch update --yes
run larch run $isolated larch -- version

step "Undo: offline, at once"
run larch undo
run larch run $isolated larch -- version
run larch history

step "Verify: every byte of the store and of the deployments, and of the repository"
run larch verify
run larch check repo

step "Break one byte, find it, mend it"
victim=$(find "$LARCH_ROOT/objects" -type f -size +1M | head -n 1)
chmod u+w "$victim"
printf X | dd of="$victim" bs=1 seek=5000 conv=notrunc status=none
chmod u-w "$victim"
larch verify || echo "(exit code $?: damage found)"
run larch verify --repair
run larch verify

step "Remove it"
run larch uninstall larch --yes
run larch gc --keep 0
run larch list
echo
echo "Done: published, served, installed, run, updated, undone, verified, mended and removed, without root and with nothing but this one program."
