package runtime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"strings"

	containerd "github.com/containerd/containerd/v2/client"

	"github.com/kedge-io/kedge/internal/paths"
)

// ImageStore are the images of a node whose containerd runs. It is made by
// [OpenImages] and usable by one goroutine.
type ImageStore struct {
	cfg    Config
	client *containerd.Client
}

// OpenImages connects to the containerd that a daemon with this layout started.
// It needs root.
func OpenImages(ctx context.Context, layout paths.Layout) (*ImageStore, error) {
	cfg := Config{Layout: layout}.WithDefaults()
	text, err := os.ReadFile(cfg.configFile())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("no node has run with the data directory %s: start kedge server or kedge agent first, or name another one by --data-dir", layout.DataDir)
	case err != nil:
		return nil, err
	}
	cfg.Snapshotter = snapshotterIn(string(text))
	client, err := cfg.dial()
	if err != nil {
		return nil, err
	}
	if _, err := client.Version(ctx); err != nil {
		_ = client.Close()
		return nil, fmt.Errorf("containerd of %s does not answer, see kedge status: %w", layout.DataDir, err)
	}
	return &ImageStore{cfg: cfg, client: client}, nil
}

var snapshotterLine = regexp.MustCompile(`(?m)^\s*snapshotter = "([a-z]+)"`)

// snapshotterIn reads it out of the configuration that the daemon wrote.
func snapshotterIn(config string) string {
	if m := snapshotterLine.FindStringSubmatch(config); m != nil {
		return m[1]
	}
	return SnapshotterOverlay
}

// Close ends the connection.
func (s *ImageStore) Close() error { return s.client.Close() }

// Import imports every image of an archive for this machine, and pins them so that
// kubelet does not collect them. from is the archive's name. It returns the names
// of the images in order.
func (s *ImageStore) Import(ctx context.Context, archive io.Reader, from string) ([]string, error) {
	im := importer{client: s.client, snapshotter: s.cfg.Snapshotter}
	names, err := im.load(ctx, archive, from)
	if err != nil {
		return nil, err
	}
	return sortedNames(names), nil
}

// ImageInfo is one image of a node.
type ImageInfo struct {
	Name   string `json:"name"`
	Digest string `json:"digest"`
	// Bytes are those of its compressed parts; 0 where some are missing.
	Bytes int64 `json:"bytes"`
	// Pinned tells that kubelet will not collect it.
	Pinned bool `json:"pinned"`
	// From is the archive it was imported from, or empty for one that was pulled.
	From string `json:"from,omitempty"`
}

// List returns all images by name, each once.
func (s *ImageStore) List(ctx context.Context) ([]ImageInfo, error) {
	all, err := s.client.ListImages(ctx)
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	tagged := map[string]bool{}
	for _, img := range all {
		if !strings.Contains(img.Name(), "@") && !isID(img.Name()) {
			tagged[img.Target().Digest.String()] = true
		}
	}
	var out []ImageInfo
	for _, img := range all {
		digest := img.Target().Digest.String()
		// The CRI keeps each image under its tag, its digest and its ID.
		if isID(img.Name()) || strings.Contains(img.Name(), "@") && tagged[digest] {
			continue
		}
		info := ImageInfo{Name: img.Name(), Digest: digest, Pinned: img.Labels()["io.cri-containerd.pinned"] == "pinned", From: img.Labels()[fromLabel]}
		if info.Bytes, err = img.Size(ctx); err != nil {
			info.Bytes = 0
		}
		out = append(out, info)
	}
	sortImages(out)
	return out, nil
}

// isID tells the name of an image that is the digest of its configuration.
func isID(name string) bool { return strings.HasPrefix(name, "sha256:") }
