package bundle

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// Manifest describes the content of a bundle.
type Manifest struct {
	// ID names the content and the slot: the first 16 hexadecimal digits of
	// the SHA-256 over the list of files.
	ID string `json:"id"`
	// Arch is the GOARCH that the programs were built for.
	Arch string `json:"arch"`
	// Versions are the upstream versions of the parts, by name: "runc",
	// "containerd", "cni".
	Versions map[string]string `json:"versions"`
	// Files is every file and link, sorted by path.
	Files []File `json:"files"`
}

// File is one regular file or symbolic link of a bundle.
type File struct {
	// Path is relative to the slot, with slashes, for example "bin/runc".
	Path string `json:"path"`
	// Mode is the permission bits of a regular file.
	Mode fs.FileMode `json:"mode,omitempty"`
	// Size is the length in bytes of a regular file.
	Size int64 `json:"size,omitempty"`
	// SHA256 is the digest of a regular file, hexadecimal.
	SHA256 string `json:"sha256,omitempty"`
	// Link is the target of a symbolic link, a name in the same folder; it is
	// empty for a regular file.
	Link string `json:"link,omitempty"`
}

// ContentID returns the ID that belongs to the manifest's files.
func (m Manifest) ContentID() string {
	sum := sha256.Sum256([]byte(m.list()))
	return hex.EncodeToString(sum[:])[:16]
}

// list is the text form of the files: what the ID is computed from and what a
// complete slot keeps as its marker.
func (m Manifest) list() string {
	var b strings.Builder
	for _, f := range m.Files {
		fmt.Fprintf(&b, "%s %04o %d %s %s\n", f.Path, f.Mode, f.Size, f.SHA256, f.Link)
	}
	return b.String()
}

// ParseManifest decodes a manifest and refuses one whose ID does not belong to
// its files or whose paths would leave the slot.
func ParseManifest(data []byte) (Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return m, fmt.Errorf("decode bundle manifest: %w", err)
	}
	var errs []error
	for _, f := range m.Files {
		if !fs.ValidPath(f.Path) || path.Dir(f.Path) == "." {
			errs = append(errs, fmt.Errorf("bundle manifest: path %q is not inside a folder of the slot", f.Path))
		}
		if strings.Contains(f.Link, "/") {
			errs = append(errs, fmt.Errorf("bundle manifest: link %q leads to another folder: %q", f.Path, f.Link))
		}
	}
	if len(m.Files) == 0 {
		errs = append(errs, errors.New("bundle manifest lists no file"))
	}
	if want := m.ContentID(); m.ID != want {
		errs = append(errs, fmt.Errorf("bundle manifest has the id %q, its files have %q", m.ID, want))
	}
	return m, errors.Join(errs...)
}

// size is what the files take when unpacked, in bytes.
func (m Manifest) size() int64 {
	var sum int64
	for _, f := range m.Files {
		sum += f.Size
	}
	return sum
}

// find returns the entry of a path.
func (m Manifest) find(name string) (File, bool) {
	for _, f := range m.Files {
		if f.Path == name {
			return f, true
		}
	}
	return File{}, false
}
