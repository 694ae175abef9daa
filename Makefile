# Building and testing kedge. "make help" lists the targets. Everything needs Go
# and Debian's packages (make deps); modules come from the Go module proxy once,
# after that nothing here uses the network.

# One set of flags for everything, so that there is one build cache.
export CGO_ENABLED := 0
export GOFLAGS := -trimpath -buildvcs=false
GOHOSTARCH := $(shell env -u GOARCH go env GOARCH)
GOARCH ?= $(GOHOSTARCH)
export GOARCH

# --- versions ---------------------------------------------------------------
# A tag v1.2.3 names a release, anything else takes the file VERSION.
VERSION := $(shell git describe --exact-match --match 'v*' 2>/dev/null | sed 's/^v//' | grep . || cat VERSION)
COMMIT := $(shell git rev-parse HEAD 2>/dev/null)
DIRTY := $(shell git status --porcelain 2>/dev/null | grep -q . && echo -dirty)
# The date of the commit and not of the build: the same sources give the same
# binary.
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
DATE := $(shell date -u -d @$(SOURCE_DATE_EPOCH) +%Y-%m-%dT%H:%M:%SZ)

modver = $(shell go list -m -f '{{.Version}}' $(1))
KUBERNETES := $(call modver,k8s.io/kubernetes)
CONTAINERD := $(call modver,github.com/containerd/containerd/v2)
RUNC := $(shell cd scripts/bundle/runc && go list -m -f '{{.Version}}' github.com/opencontainers/runc)
SQLITE := $(shell sed -n 's/^const SQLITE_VERSION = "\(.*\)"/\1/p' \
	"$$(go list -m -f '{{.Dir}}' modernc.org/sqlite)"/lib/*.go 2>/dev/null | head -n 1)
GITVERSION := $(KUBERNETES)+kedge$(subst +,.,$(VERSION))
MAJOR := $(patsubst v%,%,$(word 1,$(subst ., ,$(KUBERNETES))))
MINOR := $(word 2,$(subst ., ,$(KUBERNETES)))

KEDGE_X := github.com/kedge-io/kedge/internal/version
LDFLAGS := -s -w \
	-X $(KEDGE_X).Kedge=$(VERSION) -X $(KEDGE_X).Commit=$(COMMIT)$(DIRTY) -X $(KEDGE_X).Date=$(DATE) \
	-X $(KEDGE_X).runc=$(RUNC) -X $(KEDGE_X).sqlite=$(SQLITE) \
	-X github.com/containerd/containerd/v2/version.Version=$(CONTAINERD) \
	-X sigs.k8s.io/cri-tools/pkg/version.Version=$(call modver,sigs.k8s.io/cri-tools) \
	$(foreach p,k8s.io/component-base/version k8s.io/client-go/pkg/version, \
		-X $(p).gitVersion=$(GITVERSION) -X $(p).gitMajor=$(MAJOR) -X $(p).gitMinor=$(MINOR) \
		-X $(p).gitCommit=$(COMMIT) -X $(p).gitTreeState=$(if $(DIRTY),dirty,clean) -X $(p).buildDate=$(DATE))

# --- building ---------------------------------------------------------------
.DEFAULT_GOAL := build
.PHONY: help deps generate codegen bundle link build next lint unit namespace process cluster test lab demo bench bench-link bench-bandwidth bench-firewall bench-firewall-latency bench-snapshot bench-certificates bench-scale bench-install docs clean
.PHONY: dist dist-amd64 dist-arm64 dist-check dist-arm64-check dist-reproducible

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "%-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

deps: ## install the Debian packages that are missing
	@scripts/deps

generate: ## write the sources that come from the module cache (git ignores them)
	@GOARCH= go run ./scripts/gensource

codegen: ## write deep copies and definitions of the custom resources from their types (git keeps them)
	go tool -modfile=tools/codegen/go.mod controller-gen object crd paths=./api/... output:crd:dir=api/edge/v1alpha1/crd

BUNDLE := build/bundle/$(GOARCH)
PAYLOAD := agent/runtime/bundle/payload

$(BUNDLE)/bundle.tar.zst: go.mod scripts/bundle/build.sh scripts/bundle/runc/go.mod scripts/bundle/cni/go.mod \
		scripts/bundle/cni/main.go scripts/bundle/pause/pause.c scripts/gensource/recipes.go | deps generate
	scripts/bundle/build.sh $(GOARCH) $(BUNDLE)

bundle: $(BUNDLE)/bundle.tar.zst ## build the programs that the binary carries: runc, shim, CNI plugins, pause
	@for f in bundle.tar.zst manifest.json; do \
		cmp -s $(BUNDLE)/$$f $(PAYLOAD)/$$f || cp $(BUNDLE)/$$f $(PAYLOAD)/$$f || exit 1; done

# What the target link makes, and with which replaced files (go help build).
OUT := bin/kedge
OVERLAY :=

link: generate bundle
	go build $(OVERLAY:%=-overlay %) -ldflags '$(LDFLAGS)' -o $(OUT) ./cmd/kedge

build: link ## build bin/kedge

next: generate bundle ## build build/next/kedge, another version with another bundle to upgrade to
	scripts/next $(GOARCH)
	@$(MAKE) link VERSION=$(VERSION).next OUT=build/next/kedge OVERLAY=build/next/overlay.json

# --- testing ----------------------------------------------------------------
# Four layers. Namespace tests carry the build tag "namespace" and stand beside
# the code; process tests are in tests/process and, with the tag "process", in
# agent/runtime; cluster tests are in tests/e2e.
GOTEST := go run ./scripts/gotest
GOLANGCI := go tool -modfile=tools/go.mod golangci-lint

lint: deps generate ## run the linters
	$(GOLANGCI) run --build-tags namespace,process
	shellcheck -s sh scripts/install.sh scripts/service/killall scripts/service/supervisor scripts/service/uninstall

unit: deps bundle ## unit tests, with the race detector where it is affordable
	scripts/unit

namespace: deps generate ## tests of real kernel objects in their own namespaces (root)
	scripts/unit namespace

process: deps build ## tests of the real binary and its runtime on this host (root)
	KEDGE_BINARY=$(CURDIR)/bin/kedge $(GOTEST) -count=1 -p 1 -timeout 20m ./tests/process/...
	$(GOTEST) -tags process -count=1 -timeout 10m ./agent/runtime -args -runtime-bin=$(CURDIR)/$(BUNDLE)/root/bin

cluster: deps build next ## tests of clusters in the laboratory (root)
	KEDGE_BINARY=$(CURDIR)/bin/kedge KEDGE_BINARY_NEW=$(CURDIR)/build/next/kedge scripts/cluster

test: deps ## all of it, then a look at what is left on the host
	@MAKE='$(MAKE)' scripts/test

# --- releasing --------------------------------------------------------------
# What a release file may have at most, in bytes: as much as the smallest k3s. It
# is measured on a quickly packed file; a release at level 19 is a tenth smaller.
DIST_LIMIT := 64500000
LEVEL := 19
DISTWORK := build/dist/$(GOARCH)

# The bundle comes in by an overlay: the folder that it is embedded from belongs
# to the architecture of this machine.
$(DISTWORK)/kedge: generate $(BUNDLE)/bundle.tar.zst
	@mkdir -p $(DISTWORK)
	@printf '{"Replace": {"%s": "%s", "%s": "%s"}}\n' $(foreach f,bundle.tar.zst manifest.json, \
		$(CURDIR)/$(PAYLOAD)/$f $(CURDIR)/$(BUNDLE)/$f) >$(DISTWORK)/overlay.json
	go build -overlay $(DISTWORK)/overlay.json -ldflags '$(LDFLAGS)' -o $@ ./cmd/kedge

dist-amd64 dist-arm64: dist-%:
	scripts/deps $(if $(filter $*,$(GOHOSTARCH)),,cross)
	$(MAKE) GOARCH=$* build/dist/$*/kedge
	scripts/release-file $* build/dist/$*/kedge dist/kedge-linux-$* $(LEVEL)

dist: dist-amd64 dist-arm64 ## build what is published into dist/ (a cold build for arm64 takes ten minutes)
	SOURCE_DATE_EPOCH=$(SOURCE_DATE_EPOCH) scripts/dist $(VERSION)

dist-check: build ## see that a release file starts, is small enough and has a known licence in every part
	scripts/release-file $(GOARCH) bin/kedge build/dist/kedge-linux-$(GOARCH) 9
	scripts/dist-check build/dist/kedge-linux-$(GOARCH) bin/kedge $(DIST_LIMIT)
	rm -rf build/dist/licences
	scripts/dist-inventory $(GOARCH) $(VERSION) build/dist/kedge-linux-$(GOARCH) bin/kedge build/dist/kedge.cdx.json build/dist/licences
	CGO_ENABLED=0 go test -C scripts/inventory ./...

dist-arm64-check: ## start dist/kedge-linux-arm64 under qemu
	scripts/deps cross
	scripts/dist-arm64-check dist/kedge-linux-arm64

dist-reproducible: ## build a release in two folders with empty caches and compare
	scripts/dist-reproducible

# --- using ------------------------------------------------------------------
lab: deps build ## bring up a laboratory of hosts and stay until Ctrl-C (root)
	go run ./tests/lab/cmd/lab

demo: deps build ## a server, an application and how to go on, until Ctrl-C (root)
	go build -o build/demo ./tests/lab/cmd/demo
	build/demo

bench: deps build ## measure what docs/benchmarks.md reports (root)
	scripts/bench

bench-link: deps ## measure the link beside raw TLS, remotedialer and konnectivity (root)
	scripts/bench-link

bench-bandwidth: deps build ## measure bandwidth beside the CNI plugin, tc and nothing (root)
	scripts/bench-bandwidth

bench-firewall: deps ## measure the firewall beside iptables-restore, go-iptables and nft (root)
	scripts/bench-firewall

bench-scale: ## measure a server's end of the link with 1000 simulated agents
	scripts/bench-scale

bench-install: deps build ## measure from Enter to a Ready node beside a plain copy (root)
	scripts/bench-install

bench-firewall-latency: deps build ## measure from kubectl apply of an EdgeFirewall to packets (root)
	scripts/bench-firewall-latency

bench-certificates: deps build ## run a cluster for an hour on certificates of ten minutes, under load (root)
	scripts/bench-certificates

bench-snapshot: deps build ## measure snapshots and restores at 10,000 and 100,000 objects, and the API meanwhile (root)
	scripts/bench-snapshot

docs: generate ## write docs/reference from the commands
	go test ./cmd/kedge -run Reference -update

clean: ## remove what was built
	rm -rf bin build dist $(PAYLOAD)/bundle.tar.zst $(PAYLOAD)/manifest.json
	rm -f internal/crictl/zz_generated_*.go scripts/bundle/cni/*/zz_generated_*.go
