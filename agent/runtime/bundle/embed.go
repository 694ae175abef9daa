package bundle

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
)

// PauseImage is the name of the image in images/pause.tar, which holds the
// network namespace of every pod.
const PauseImage = "registry.kedge.io/pause:1"

// ErrNotBuilt is returned by a binary that carries no bundle.
var ErrNotBuilt = errors.New("this binary was built without its runtime bundle; run make build")

//go:embed payload
var payload embed.FS

const (
	manifestName = "manifest.json"
	archiveName  = "bundle.tar.zst"
)

// archive is where a bundle comes from: the embedded payload, or a test's.
// Opening a file of an embed.FS reads straight from the binary, so unpacking
// needs the decoder's window in memory and not the archive.
type archive struct{ files fs.FS }

func embedded() (archive, error) {
	sub, err := fs.Sub(payload, "payload")
	return archive{sub}, err
}

// Embedded returns the manifest of the bundle in this binary, or [ErrNotBuilt].
func Embedded() (Manifest, error) {
	a, err := embedded()
	if err != nil {
		return Manifest{}, err
	}
	return a.manifest()
}

func (a archive) manifest() (Manifest, error) {
	data, err := fs.ReadFile(a.files, manifestName)
	if errors.Is(err, fs.ErrNotExist) {
		return Manifest{}, ErrNotBuilt
	}
	if err != nil {
		return Manifest{}, fmt.Errorf("read bundle manifest: %w", err)
	}
	return ParseManifest(data)
}
