package bed

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/kedge-io/kedge/internal/ociimage"
	"github.com/kedge-io/kedge/internal/testx"
)

// Image is the name of the image of tests/traffic and iperf3.
const Image = "traffic.kedge.test/traffic:1"

// iperf3 is where Debian's package iperf3 has it.
const iperf3 = "/usr/bin/iperf3"

// parts are what Up installs: the program and the archive of the image.
type parts struct{ program, archive string }

// build makes the parts in the folder dir.
func build(ctx context.Context, dir string) (parts, error) {
	p := parts{program: filepath.Join(dir, "traffic"), archive: filepath.Join(dir, "traffic.tar")}
	root, err := testx.RepoRoot()
	if err != nil {
		return p, err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-o", p.program, "./tests/traffic")
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return p, fmt.Errorf("build tests/traffic: %w: %s", err, out)
	}
	libraries, err := libraries(ctx, iperf3)
	if err != nil {
		return p, err
	}
	img := ociimage.Image{
		Ref: Image, Arch: runtime.GOARCH, Entrypoint: []string{"/traffic"},
		// iperf3 keeps what it sends in a file there.
		Files: []ociimage.File{{Path: "/tmp", Mode: fs.ModeDir | fs.ModeSticky | 0o777}},
	}
	img.Files = append(img.Files, ociimage.File{Path: "/traffic", Mode: 0o755, Source: p.program})
	for _, f := range append([]string{iperf3}, libraries...) {
		img.Files = append(img.Files, ociimage.File{Path: f, Mode: 0o755, Source: f})
	}
	_, err = ociimage.WriteFile(p.archive, img)
	return p, err
}

// libraries lists what a program is linked with, its loader included, as
// ldd(1) finds it.
func libraries(ctx context.Context, program string) ([]string, error) {
	out, err := exec.CommandContext(ctx, "ldd", program).Output()
	if err != nil {
		return nil, fmt.Errorf("ldd %s: %w (package iperf3; make deps)", program, err)
	}
	found, err := parseLDD(string(out))
	if err != nil {
		return nil, fmt.Errorf("ldd %s: %w", program, err)
	}
	return found, nil
}

// parseLDD reads lines like "libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x7f..)" and
// "/lib64/ld-linux-x86-64.so.2 (0x7f..)". The one of the kernel has no file.
func parseLDD(out string) ([]string, error) {
	var found []string
	for line := range strings.Lines(out) {
		name, file, ok := strings.Cut(strings.TrimSpace(line), " => ")
		if !ok {
			file = name
		}
		if strings.HasPrefix(file, "not found") {
			return nil, fmt.Errorf("library %s is missing", name)
		}
		file, _, _ = strings.Cut(file, " ")
		if filepath.IsAbs(file) {
			found = append(found, file)
		}
	}
	if len(found) == 0 {
		return nil, errors.New("no libraries")
	}
	return found, nil
}
