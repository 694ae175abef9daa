#!/usr/bin/env bash
# Builds the runtime bundle for one architecture:
#
#   scripts/bundle/build.sh ARCH FOLDER
#
# FOLDER/root receives what a slot holds (bin/, images/), FOLDER/bundle.tar.zst
# and FOLDER/manifest.json are what agent/runtime/bundle embeds. The same
# sources give the same bytes. Versions are pinned in scripts/bundle/*/go.mod
# and, for the containerd shim, in the go.mod at the top.
#
# For another architecture than this machine's it needs Debian's cross compiler
# (scripts/deps cross) and fetches libseccomp (scripts/bundle/sysroot).
#
# Environment: CC (compiler for ARCH, default gcc or the Debian cross compiler),
# KEDGE_BUNDLE_RUNC (path of a static runc to take instead of building one: the
# fallback where libseccomp cannot be had, for example Debian's /usr/sbin/runc).
set -euo pipefail

arch=$1
out=$(mkdir -p "$2" && cd "$2" && pwd)
cd "$(dirname "$0")/../.."
top=$PWD
root=$out/root
rm -rf "$root"
mkdir -p "$root/bin" "$root/images"

host=$(env -u GOARCH go env GOARCH)
go_here=(env CGO_ENABLED=0 GOOS=linux "GOARCH=$host" go)
if [ -z "${CC:-}" ]; then
	CC=gcc
	if [ "$arch" != "$host" ]; then
		case $arch in
		amd64) CC=x86_64-linux-gnu-gcc ;;
		arm64) CC=aarch64-linux-gnu-gcc ;;
		*) echo "build.sh: set CC to a C compiler for $arch" >&2 && exit 1 ;;
		esac
	fi
fi
export GOOS=linux GOARCH="$arch" CC GOFLAGS="-trimpath -buildvcs=false"

# version MODULE: its version in the go.mod of the current folder.
version() { go list -m -f '{{.Version}}' "$1"; }

# runc: with seccomp, therefore C, but static.
cd "$top/scripts/bundle/runc"
runc_version=$(version github.com/opencontainers/runc)
if [ -n "${KEDGE_BUNDLE_RUNC:-}" ]; then
	install -m 755 "$KEDGE_BUNDLE_RUNC" "$root/bin/runc"
	runc_version=$("$KEDGE_BUNDLE_RUNC" --version | awk 'NR == 1 { print "v" $3 }')
else
	if [ "$arch" != "$host" ]; then
		sysroot=$top/build/sysroot/$arch
		"$top/scripts/bundle/sysroot" "$arch" "$sysroot"
		export PKG_CONFIG_SYSROOT_DIR=$sysroot
		PKG_CONFIG_LIBDIR=$(echo "$sysroot"/usr/lib/*/pkgconfig)
		export PKG_CONFIG_LIBDIR
	fi
	CGO_ENABLED=1 go build -tags "seccomp netgo osusergo" -o "$root/bin/runc" \
		-ldflags "-s -w -buildid= -linkmode external -extldflags '-static -Wl,--build-id=none'" \
		github.com/opencontainers/runc
fi

# CNI plugins: one program, one link for each plugin.
export CGO_ENABLED=0
cd "$top/scripts/bundle/cni"
cni_version=$(version github.com/containernetworking/plugins)
go build -o "$root/bin/cni" \
	-ldflags "-s -w -buildid= -X github.com/containernetworking/plugins/pkg/utils/buildversion.BuildVersion=$cni_version" .
for plugin in bridge host-local portmap; do
	ln -s cni "$root/bin/$plugin"
done

# The shim, from the containerd that is part of kedge.
cd "$top"
containerd=github.com/containerd/containerd/v2
containerd_version=$(version $containerd)
go build -o "$root/bin/containerd-shim-runc-v2" \
	-ldflags "-s -w -buildid= -X $containerd/version.Version=$containerd_version" \
	$containerd/cmd/containerd-shim-runc-v2

# The pause image. Its name is bundle.PauseImage.
"$CC" -Os -static -nostdlib -ffreestanding -fno-stack-protector -fno-asynchronous-unwind-tables \
	-Wall -Wextra -Werror -Wl,--build-id=none -Wl,-z,noseparate-code -Wl,-z,norelro -s \
	-o "$out/pause" scripts/bundle/pause/pause.c
"${go_here[@]}" run ./scripts/mkimage -arch "$arch" -ref registry.kedge.io/pause:1 \
	-o "$root/images/pause.tar" -file "$out/pause:/pause" -entrypoint /pause -user 65535:65535

"${go_here[@]}" run ./scripts/mkbundle -arch "$arch" -from "$root" -o "$out" \
	"runc=$runc_version" "cni=$cni_version" "containerd=$containerd_version"
