package bundle

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/kedge-io/kedge/internal/slots"
)

// check returns why the slot at dir is not what m describes, or nil. With the
// right marker it looks at types, modes and sizes, else it reads every file and
// then writes the marker.
func check(dir string, m Manifest) error {
	marker, err := os.ReadFile(filepath.Join(dir, markerName))
	marked := err == nil && string(marker) == m.list()
	for _, f := range m.Files {
		if err := checkFile(filepath.Join(dir, f.Path), f, !marked); err != nil {
			return err
		}
	}
	if marked {
		return nil
	}
	return writeMarker(dir, m)
}

func checkFile(path string, f File, content bool) error {
	if f.Link != "" {
		target, err := os.Readlink(path)
		if err == nil && target != f.Link {
			err = fmt.Errorf("%s leads to %s instead of %s", path, target, f.Link)
		}
		return err
	}
	st, err := os.Lstat(path)
	switch {
	case err != nil:
		return err
	case st.Mode() != f.Mode:
		return fmt.Errorf("%s has the mode %v instead of %v", path, st.Mode(), f.Mode)
	case st.Size() != f.Size:
		return fmt.Errorf("%s has %d bytes instead of %d", path, st.Size(), f.Size)
	case content:
		return checkContent(path, f)
	}
	return nil
}

func checkContent(path string, f File) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	if sum := hex.EncodeToString(hash.Sum(nil)); sum != f.SHA256 {
		return fmt.Errorf("%s has the SHA-256 %s instead of %s", path, sum, f.SHA256)
	}
	return nil
}

// writeMarker says durably that the slot at dir is complete.
func writeMarker(dir string, m Manifest) error {
	file, err := os.OpenFile(filepath.Join(dir, markerName), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	if _, err := file.WriteString(m.list()); err != nil {
		file.Close()
		return err
	}
	if err := finish(file, 0o644); err != nil {
		return err
	}
	return slots.SyncDir(dir)
}
