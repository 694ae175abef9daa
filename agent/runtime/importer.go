package runtime

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"

	"github.com/kedge-io/kedge/internal/fsx"
)

// imageLabels keep kubelet's garbage collection away from imported images:
// without a registry nothing could bring them back.
var imageLabels = map[string]string{
	"io.cri-containerd.image":  "managed",
	"io.cri-containerd.pinned": "pinned",
}

// imported is what is remembered of an archive that was imported.
type imported struct {
	Size    int64             `json:"size"`
	ModTime int64             `json:"modTime"` // nanoseconds since 1970
	SHA256  string            `json:"sha256"`
	Images  map[string]string `json:"images"` // name to digest
}

// importer brings archives into containerd unless they are there already.
// Several may share one memory file as long as they run one after the other.
type importer struct {
	client      *containerd.Client
	snapshotter string
	memory      string
}

// errChanged is about archives that are being written: they are looked at
// again, and nobody needs to know.
var errChanged = errors.New("changed while it was read")

// errNoName is about archives that follow the format but name nothing.
var errNoName = errors.New("archive names no image: add the annotation org.opencontainers.image.ref.name with the full image name, or save it by name")

// ensure imports the archive at path if its content is not there. It returns
// the names it holds and whether anything was written.
func (im importer) ensure(ctx context.Context, path string) ([]string, bool, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, false, err
	}
	known := im.recall()
	old, seen := known[path]
	present := seen && im.present(ctx, old.Images)
	same := old.Size == st.Size() && old.ModTime == st.ModTime().UnixNano()
	if present && same {
		return keys(old.Images), false, nil
	}
	now := imported{Size: st.Size(), ModTime: st.ModTime().UnixNano(), SHA256: old.SHA256, Images: old.Images}
	if !same {
		if now.SHA256, err = hashFile(ctx, path); err != nil {
			return nil, false, err
		}
	}
	write := !present || now.SHA256 != old.SHA256
	if write {
		if now.Images, err = im.loadFile(ctx, path); err != nil {
			return nil, false, err
		}
	}
	// An archive that grew meanwhile was read only in part or twice.
	if after, err := os.Stat(path); err != nil || after.Size() != st.Size() || !after.ModTime().Equal(st.ModTime()) {
		return nil, false, fmt.Errorf("%s: %w", path, errChanged)
	}
	return keys(now.Images), write, im.remember(path, now)
}

func (im importer) loadFile(ctx context.Context, path string) (map[string]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return im.load(ctx, f, path)
}

// present tells whether every image still has the digest it was imported with.
func (im importer) present(ctx context.Context, images map[string]string) bool {
	for name, digest := range images {
		img, err := im.client.ImageService().Get(ctx, name)
		if err != nil || img.Target.Digest.String() != digest {
			return false
		}
	}
	return len(images) > 0
}

// has tells whether an image of that name is there.
func (im importer) has(ctx context.Context, name string) (bool, error) {
	_, err := im.client.ImageService().Get(ctx, name)
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// namer makes full names as kubelet asks for them: "app:1" becomes
// docker.io/library/app:1, and a bare tag is given to the file's own name.
func namer(path string) func(string) string {
	base := filepath.Base(path)
	for _, ext := range archiveExts {
		base = strings.TrimSuffix(base, ext)
	}
	return func(ref string) string {
		if !strings.ContainsAny(ref, "/:@") {
			ref = base + ":" + ref
		}
		named, err := reference.ParseDockerRef(ref)
		if err != nil {
			return ""
		}
		return named.String()
	}
}

func (im importer) recall() map[string]imported {
	out := map[string]imported{}
	data, err := os.ReadFile(im.memory)
	if err != nil || json.Unmarshal(data, &out) != nil {
		return map[string]imported{}
	}
	return out
}

// remember adds one file and forgets those that are gone.
func (im importer) remember(path string, what imported) error {
	all := im.recall()
	all[path] = what
	for p := range all {
		if _, err := os.Stat(p); errors.Is(err, fs.ErrNotExist) {
			delete(all, p)
		}
	}
	data, err := json.MarshalIndent(all, "", " ")
	if err != nil {
		return err
	}
	_, err = fsx.WriteFileIfChanged(im.memory, data, 0o600)
	return err
}

// hashFile reads in pieces so that the end of ctx is noticed.
func hashFile(ctx context.Context, path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	for {
		_, err := io.CopyN(h, f, 4<<20)
		if errors.Is(err, io.EOF) {
			return hex.EncodeToString(h.Sum(nil)), nil
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return "", fmt.Errorf("read %s: %w", path, err)
		}
	}
}

func keys(m map[string]string) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	return out
}

// ensurePause makes the pause image present; without it no pod can start.
func (c *Containerd) ensurePause(ctx context.Context) error {
	client, err := c.cfg.dial()
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	im := importer{client: client, snapshotter: c.cfg.Snapshotter, memory: c.cfg.importedFile()}
	_, _, importErr := im.ensure(ctx, c.cfg.PauseArchive)
	there, err := im.has(ctx, c.cfg.SandboxImage)
	switch {
	case err != nil:
		return fmt.Errorf("look for pause image %s: %w", c.cfg.SandboxImage, err)
	case !there:
		return errors.Join(fmt.Errorf("pause image %s is missing: no pod could start", c.cfg.SandboxImage), importErr)
	}
	return nil
}
