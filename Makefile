# Larch: the commands of this folder. A fresh machine needs Go, and nothing else
# for the first two.
#
#   make demo       do the main job on real input, and say what was done
#   make test       build, and pass every test
#   make test-long  the slow suites too
#   make test-386   what builds for 32 bits, and the attacks on it
#   make test-vm    the tests that need other kernels, in virtual machines (Debian, as root)
#   make bench      measure against the peers' real tools
#   make bench-updates   the same for updates, over all pairs of versions of real applications
#   make bench-load      many machines at once, from one small web server (Debian, as root)
#   make bench-backends  the forms on disk, against each other and plain files (as root)
#   make test-faults      a larger sample of commands stopped at any call, power cuts and full disks (minutes)
#   make test-faults-all  every command stopped at every call, and thousands of power cuts (hours)
#   make fuzz       fuzz every decoder for a while (FUZZTIME=30s each)
#   make lint       gofmt, vet
#   make deps       what tests and benchmarks use beyond Go (Debian, as root)
#   make install    the command, into PREFIX (/usr/local)

GO ?= go
PREFIX ?= /usr/local
FUZZTIME ?= 30s
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

export CGO_ENABLED = 0
export GOFLAGS += -trimpath

.PHONY: build demo test test-long test-386 test-vm bench bench-updates bench-load bench-backends test-faults test-faults-all fuzz lint deps install clean

build:
	$(GO) build -ldflags '-s -w -X main.version=$(VERSION)' -o bin/larch ./cmd/larch

demo: build
	@LARCH=$(CURDIR)/bin/larch GO='$(GO)' sh scripts/demo.sh

test: build lint
	@sh scripts/deps.sh --if-possible
	$(GO) test ./...

test-long: test
	LARCH_TEST_LONG=1 $(GO) test -timeout 25m ./...

# All packages whose readers of foreign bytes count and add sizes.
test-386:
	GOARCH=386 $(GO) test -timeout 25m ./digest ./tree ./release ./trust ./delta ./repo ./fetch ./store ./transport/... ./deploy ./convert/... ./internal/sealed ./internal/keyfile ./internal/erofs ./internal/attack/content

test-vm:
	$(GO) run ./internal/vm test ./internal/verity ./store ./deploy/overlay ./deploy/composefs ./deploy/fuse ./deploy/deploytest

bench: build
	@sh scripts/deps.sh --if-possible
	$(GO) run ./internal/bench

bench-updates: build
	@sh scripts/deps.sh --if-possible
	$(GO) run ./internal/roadtest -markdown docs/updates.md -summary README.md -svg docs/updates.svg

bench-load: build
	@sh scripts/deps.sh --if-possible nginx
	$(GO) run ./internal/loadbench

bench-backends: build
	@sh scripts/deps.sh --if-possible
	$(GO) run ./internal/backendbench -markdown docs/backends.md

test-faults:
	LARCH_TEST_LONG=1 $(GO) test -count=1 -timeout 25m ./internal/faults ./internal/powercut

test-faults-all:
	$(GO) run ./internal/faults -all
	$(GO) run ./internal/powercut -all

fuzz:
	@sh scripts/fuzz.sh $(FUZZTIME)

lint:
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then echo "not formatted: $$unformatted"; exit 1; fi
	$(GO) vet ./...

deps:
	@sh scripts/deps.sh

install: build
	install -D -m 755 bin/larch $(DESTDIR)$(PREFIX)/bin/larch

clean:
	rm -rf bin
