#!/bin/sh
# Fuzzes every target of every package for a while: fuzz.sh 30s
set -eu
time=${1:-30s}
go=${GO:-go}
for package in $($go list ./...); do
	for target in $($go test -list '^Fuzz' "$package" | grep '^Fuzz' || true); do
		echo "fuzz: $package $target, $time"
		$go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$package"
	done
done
