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
	archive []byte
	err     error
}

// appArchive builds tests/app and packs it as an image, once per test program.
func appArchive(ctx context.Context) ([]byte, error) {
	app.once.Do(func() { app.archive, app.err = buildApp(ctx) })
	return app.archive, app.err
}

func buildApp(ctx context.Context) ([]byte, error) {
	root, err := testx.RepoRoot()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "kedge-app-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	program, archive := filepath.Join(dir, "app"), filepath.Join(dir, "app.tar")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-o", program, "./tests/app")
	build.Dir = root
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build tests/app: %w: %s", err, out)
	}
	img := ociimage.Image{
		Ref: AppImage, Arch: arch, Entrypoint: []string{"/app"}, Env: []string{"PATH=/bin"},
		Files: []ociimage.File{
			{Path: "/app", Mode: 0o755, Source: program},
			{Path: "/data", Mode: fs.ModeDir | 0o777},
			{Path: "/tmp", Mode: fs.ModeDir | 0o777},
		},
	}
	for _, name := range []string{"echo", "sleep", "fill", "sum", "get", "tar", "test"} {
		img.Files = append(img.Files, ociimage.File{Path: "/bin/" + name, Mode: fs.ModeSymlink | 0o777, Link: "/app"})
	}
	if _, err := ociimage.WriteFile(archive, img); err != nil {
		return nil, fmt.Errorf("pack %s: %w", AppImage, err)
	}
	return os.ReadFile(archive)
}

// InstallApp puts the application's image into the image folder below data, or below the default
// data directory where that is empty.
func InstallApp(ctx context.Context, h *lab.Host, data string) error {
	archive, err := appArchive(ctx)
	if err != nil {
		return err
	}
	return h.WriteFile(cmp.Or(data, dataDir)+"/agent/images/app.tar", archive, 0o644)
}
