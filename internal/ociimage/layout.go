package ociimage

import (
	"archive/tar"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Named is an image of a [Layout] by its full name.
type Named struct {
	Name      string
	MediaType string
	Digest    string // of its manifest or index, "sha256:..."
	Size      int64
}

// Blob is one part of the images of a [Layout].
type Blob struct {
	Digest string
	Size   int64
	Open   func() (io.ReadCloser, error)
}

// Layout is an archive made of images that exist already.
type Layout struct {
	Images []Named
	// Blobs are all that Images consist of; doubles are written once.
	Blobs []Blob
}

// Write writes the layout as a tar file. Equal images give equal bytes, in
// whatever order they come. Blobs are copied in pieces.
func (l Layout) Write(w io.Writer) error {
	out := blobs{tar: tar.NewWriter(w)}
	out.dir("blobs")
	out.dir("blobs/sha256")
	all := slices.Clone(l.Blobs)
	slices.SortFunc(all, func(a, b Blob) int { return cmp.Compare(a.Digest, b.Digest) })
	all = slices.CompactFunc(all, func(a, b Blob) bool { return a.Digest == b.Digest })
	for _, b := range all {
		if err := out.copy(b); err != nil {
			return fmt.Errorf("write part %s: %w", b.Digest, err)
		}
	}
	out.file("index.json", out.encode(l.index()))
	out.file("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`))
	return errors.Join(out.err, out.tar.Close())
}

func (l Layout) index() any {
	type entry struct {
		MediaType   string            `json:"mediaType"`
		Digest      string            `json:"digest"`
		Size        int64             `json:"size"`
		Annotations map[string]string `json:"annotations"`
	}
	entries := []entry{}
	for _, n := range l.Images {
		_, tag, _ := cutTag(n.Name)
		e := entry{n.MediaType, n.Digest, n.Size, map[string]string{"io.containerd.image.name": n.Name}}
		if tag != "" && !strings.Contains(n.Name, "@") {
			e.Annotations["org.opencontainers.image.ref.name"] = tag
		}
		entries = append(entries, e)
	}
	slices.SortFunc(entries, func(a, b entry) int {
		return cmp.Compare(a.Annotations["io.containerd.image.name"], b.Annotations["io.containerd.image.name"])
	})
	return struct {
		SchemaVersion int     `json:"schemaVersion"`
		MediaType     string  `json:"mediaType"`
		Manifests     []entry `json:"manifests"`
	}{2, typeIndex, entries}
}

// copy writes one blob, which must have the size that it says.
func (b *blobs) copy(blob Blob) error {
	if !strings.HasPrefix(blob.Digest, "sha256:") {
		return errors.New("only sha256 digests can be kept in an archive")
	}
	h := &tar.Header{Typeflag: tar.TypeReg, Name: blobPath(blob.Digest), Mode: 0o644, Size: blob.Size, ModTime: epoch, Format: tar.FormatUSTAR}
	if blob.Size > maxUSTAR {
		h.Format = tar.FormatPAX
	}
	if b.err = errors.Join(b.err, b.tar.WriteHeader(h)); b.err != nil {
		return b.err
	}
	r, err := blob.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	n, err := io.Copy(b.tar, r)
	if err == nil && n != blob.Size {
		err = fmt.Errorf("%d of %d bytes: %w", n, blob.Size, io.ErrUnexpectedEOF)
	}
	return err
}

// maxUSTAR is the largest file that the plain format of tar can hold, in bytes.
const maxUSTAR = 1<<33 - 1
