package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/kedge-io/kedge/internal/ociimage"
	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/lab"
)

// AppImage is the image of tests/app. It is in every node's image folder.
const AppImage = "app.kedge.test/app:1"

const (
	binary  = "/usr/local/bin/kedge"
	dataDir = "/var/lib/kedge"
)

// Binary is the kedge under test: $KEDGE_BINARY, or bin/kedge of the repository. Without it the test
// is skipped (failed in CI).
func Binary(t testing.TB) string {
	t.Helper()
	path := os.Getenv("KEDGE_BINARY")
	if path == "" {
		root, err := testx.RepoRoot()
		if err != nil {
			t.Fatal(err)
		}
		path = filepath.Join(root, "bin", "kedge")
	}
	if _, err := os.Stat(path); err != nil {
		testx.Missing(t, path+" (make build)")
	}
	return path
}

// NextBinary is the kedge to upgrade to: $KEDGE_BINARY_NEW, or build/next/kedge of the repository.
func NextBinary(t testing.TB) string {
	t.Helper()
	path := os.Getenv("KEDGE_BINARY_NEW")
	if path == "" {
		root, err := testx.RepoRoot()
		Must(t, err)
		path = filepath.Join(root, "build", "next", "kedge")
	}
	if _, err := os.Stat(path); err != nil {
		testx.Missing(t, path+" (make next)")
	}
	return path
}

// ReleaseFile packs a program as a release is, though less: into one file of 60 MB that is removed
// when the test ends.
func ReleaseFile(t testing.TB, program string) string {
	t.Helper()
	root, err := testx.RepoRoot()
	Must(t, err)
	dir, err := os.MkdirTemp(filepath.Join(root, "build"), "release-") // on the disk of the hosts
	Must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	file := filepath.Join(dir, "kedge-linux-"+arch)
	pack := exec.CommandContext(t.Context(), filepath.Join(root, "scripts", "release-file"), arch, program, file, "3")
	if out, err := pack.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return file
}

// Install puts the binary where a user has it. The file is shared with the original where the
// file system allows, so all hosts share its pages in memory.
func Install(h *lab.Host, from string) error {
	to := h.OnDisk(binary)
	tmp := to + ".new"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Link(from, tmp); err != nil {
		if err := copyFile(from, tmp); err != nil {
			return fmt.Errorf("install kedge on %s: %w", h.Name(), err)
		}
	}
	return os.Rename(tmp, to)
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o755)
}

var app struct {
	once    sync.Once
	program []byte
	err     error
}

// Archive is tests/app packed as an image of that name. The program is built once per test program.
func Archive(ctx context.Context, ref string) ([]byte, error) {
	app.once.Do(func() { app.program, app.err = buildApp(ctx) })
	if app.err != nil {
		return nil, app.err
	}
	img := ociimage.Image{
		Ref: ref, Arch: arch, Entrypoint: []string{"/app"}, Env: []string{"PATH=/bin"},
		Files: []ociimage.File{
			{Path: "/app", Mode: 0o755, Data: app.program},
			{Path: "/data", Mode: fs.ModeDir | 0o777},
			{Path: "/tmp", Mode: fs.ModeDir | 0o777},
		},
	}
	for _, name := range []string{"echo", "sleep", "fill", "sum", "get", "tar", "test"} {
		img.Files = append(img.Files, ociimage.File{Path: "/bin/" + name, Mode: fs.ModeSymlink | 0o777, Link: "/app"})
	}
	return fromTemp(func(archive string) error {
		if _, err := ociimage.WriteFile(archive, img); err != nil {
			return fmt.Errorf("pack %s: %w", ref, err)
		}
		return nil
	})
}

func buildApp(ctx context.Context) ([]byte, error) {
	root, err := testx.RepoRoot()
	if err != nil {
		return nil, err
	}
	return fromTemp(func(program string) error {
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-o", program, "./tests/app")
		build.Dir = root
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("build tests/app: %w: %s", err, out)
		}
		return nil
	})
}

// fromTemp returns what write puts into the file that it is given.
func fromTemp(write func(path string) error) ([]byte, error) {
	dir, err := os.MkdirTemp("", "kedge-app-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "app")
	if err := write(path); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}

// InstallApp puts the application's image into the image folder below data, or below the default
// data directory where that is empty.
func InstallApp(ctx context.Context, h *lab.Host, data string) error {
	archive, err := Archive(ctx, AppImage)
	if err != nil {
		return err
	}
	return h.WriteFile(cmp.Or(data, dataDir)+"/agent/images/app.tar", archive, 0o644)
}
