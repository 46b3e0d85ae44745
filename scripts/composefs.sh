#!/bin/sh
# Fetches upstream's composefs tools into a folder, from Debian unstable with the
# libraries that they were made for, and changes nothing else on this machine. They are
# DIR/mkcomposefs, DIR/mount.composefs and DIR/composefs-info.
set -eu
[ $# = 1 ] || { echo "usage: composefs.sh DIR" >&2; exit 2; }
mkdir -p "$1/lists/partial" "$1/cache/archives/partial"
cd "$1"
here=$(pwd)
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian sid main" >sources
apt() {
	apt-get -qq -o Dir::Etc::SourceList="$here/sources" -o Dir::Etc::SourceParts=- -o Dir::State::Lists="$here/lists" \
		-o Dir::Cache="$here/cache" -o APT::Sandbox::User=root "$@"
}
apt update
apt download composefs/sid libcomposefs1/sid libc6/sid libssl3t64/sid zlib1g/sid libzstd1/sid >/dev/null
for package in ./*.deb; do dpkg -x "$package" root; done
for tool in mkcomposefs composefs-info mount.composefs; do
	cat >"$tool" <<-END
		#!/bin/sh
		exec "$here"/root/usr/lib64/ld-linux-*.so.* --library-path "$(echo "$here"/root/usr/lib/*-linux-gnu)" "$(echo "$here"/root/usr/*bin/$tool)" "\$@"
	END
	chmod 755 "$tool"
done
rm -rf lists cache sources ./*.deb
"$here/mkcomposefs" --help >/dev/null 2>&1 || [ $? = 1 ]
echo "$here/mkcomposefs"
