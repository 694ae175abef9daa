package bundle

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/kedge-io/kedge/internal/slots"
	"github.com/klauspost/compress/zstd"
)

// extract writes the archive into the empty folder dir, holds every file
// against the manifest and syncs everything.
func (a archive) extract(ctx context.Context, dir string, m Manifest) error {
	packed, err := a.files.Open(archiveName)
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNotBuilt
	}
	if err != nil {
		return err
	}
	defer packed.Close()
	// One goroutine and small buffers: this runs once per version, on machines
	// where memory is short.
	plain, err := zstd.NewReader(packed, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
	if err != nil {
		return err
	}
	defer plain.Close()
	dirs, err := makeDirs(dir, m)
	if err != nil {
		return err
	}
	if err := extractFiles(ctx, dir, m, tar.NewReader(plain)); err != nil {
		return err
	}
	for _, d := range dirs {
		if err := slots.SyncDir(d); err != nil {
			return err
		}
	}
	return writeMarker(dir, m)
}

// makeDirs makes the folders that the manifest needs and returns them.
func makeDirs(root string, m Manifest) ([]string, error) {
	var dirs []string
	seen := map[string]bool{}
	for _, f := range m.Files {
		d := filepath.Join(root, filepath.Dir(f.Path))
		if seen[d] {
			continue
		}
		seen[d] = true
		dirs = append(dirs, d)
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, err
		}
	}
	return dirs, nil
}

func extractFiles(ctx context.Context, dir string, m Manifest, r *tar.Reader) error {
	count := 0
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("read the embedded bundle: %w", err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		f, ok := m.find(h.Name)
		if !ok {
			return fmt.Errorf("the embedded bundle holds %q, which its manifest does not list", h.Name)
		}
		if err := extractFile(filepath.Join(dir, f.Path), f, r); err != nil {
			return err
		}
		count++
	}
	if count != len(m.Files) {
		return fmt.Errorf("the embedded bundle holds %d files, its manifest lists %d", count, len(m.Files))
	}
	return nil
}

func extractFile(path string, f File, r io.Reader) error {
	if f.Link != "" {
		return os.Symlink(f.Link, path)
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, f.Mode)
	if err != nil {
		return err
	}
	hash := sha256.New()
	n, err := io.Copy(io.MultiWriter(file, hash), r)
	if err != nil {
		file.Close()
		return fmt.Errorf("write %s: %w", path, err)
	}
	if sum := hex.EncodeToString(hash.Sum(nil)); n != f.Size || sum != f.SHA256 {
		file.Close()
		return fmt.Errorf("%s of the embedded bundle has %d bytes and the SHA-256 %s, its manifest says %d and %s", f.Path, n, sum, f.Size, f.SHA256)
	}
	return finish(file, f.Mode)
}

// finish gives the file its mode whatever the umask is, syncs and closes it.
func finish(file *os.File, mode fs.FileMode) error {
	err := errors.Join(file.Chmod(mode), file.Sync(), file.Close())
	if err != nil {
		return fmt.Errorf("write %s: %w", file.Name(), err)
	}
	return nil
}
