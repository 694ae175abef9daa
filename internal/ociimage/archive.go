package ociimage

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

const (
	typeIndex    = "application/vnd.oci.image.index.v1+json"
	typeManifest = "application/vnd.oci.image.manifest.v1+json"
	typeConfig   = "application/vnd.oci.image.config.v1+json"
	typeLayer    = "application/vnd.oci.image.layer.v1.tar"
)

// The parts of the OCI image specification that are written here.
type (
	descriptor struct {
		MediaType   string            `json:"mediaType"`
		Digest      string            `json:"digest"`
		Size        int               `json:"size"`
		Platform    *platform         `json:"platform,omitempty"`
		Annotations map[string]string `json:"annotations,omitempty"`
	}
	platform struct {
		Architecture string `json:"architecture"`
		OS           string `json:"os"`
	}
	manifest struct {
		SchemaVersion int          `json:"schemaVersion"`
		MediaType     string       `json:"mediaType"`
		Config        descriptor   `json:"config"`
		Layers        []descriptor `json:"layers"`
	}
	index struct {
		SchemaVersion int          `json:"schemaVersion"`
		MediaType     string       `json:"mediaType"`
		Manifests     []descriptor `json:"manifests"`
	}
	config struct {
		platform
		Created string    `json:"created"`
		Config  runConfig `json:"config"`
		RootFS  rootFS    `json:"rootfs"`
	}
	rootFS struct {
		Type    string   `json:"type"`
		DiffIDs []string `json:"diff_ids"`
	}
	runConfig struct {
		User         string              `json:",omitempty"`
		ExposedPorts map[string]struct{} `json:",omitempty"`
		Env          []string            `json:",omitempty"`
		Entrypoint   []string            `json:",omitempty"`
		Cmd          []string            `json:",omitempty"`
		WorkingDir   string              `json:",omitempty"`
		Labels       map[string]string   `json:",omitempty"`
	}
	dockerManifest struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
)

// Write writes the archive of img to w and returns the digest of its manifest,
// "sha256:..." . The whole layer is held in memory on the way.
func Write(w io.Writer, img Image) (digest string, err error) {
	if err := img.Validate(); err != nil {
		return "", err
	}
	rootfs, err := layer(img.Files)
	if err != nil {
		return "", err
	}
	out := blobs{tar: tar.NewWriter(w)}
	out.dir("blobs")
	out.dir("blobs/sha256")
	layerDesc := out.blob(typeLayer, rootfs)
	configDesc := out.json(typeConfig, img.config(layerDesc.Digest))
	manifestDesc := out.json(typeManifest, manifest{2, typeManifest, configDesc, []descriptor{layerDesc}})
	manifestDesc.Platform = &platform{img.Arch, "linux"}
	_, tag, _ := cutTag(img.Ref)
	manifestDesc.Annotations = map[string]string{
		"io.containerd.image.name":          img.Ref,
		"org.opencontainers.image.ref.name": tag,
	}
	out.file("index.json", out.encode(index{2, typeIndex, []descriptor{manifestDesc}}))
	out.file("manifest.json", out.encode([]dockerManifest{{blobPath(configDesc.Digest), []string{img.Ref}, []string{blobPath(layerDesc.Digest)}}}))
	out.file("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`))
	if err := errors.Join(out.err, out.tar.Close()); err != nil {
		return "", fmt.Errorf("write image %s: %w", img.Ref, err)
	}
	return manifestDesc.Digest, nil
}

// WriteFile is [Write] into the file at path, which appears only when it is
// complete.
func WriteFile(path string, img Image) (digest string, err error) {
	temp, err := os.CreateTemp(filepath.Dir(path), ".image-")
	if err != nil {
		return "", fmt.Errorf("write image %s: %w", img.Ref, err)
	}
	digest, err = Write(temp, img)
	err = errors.Join(err, temp.Chmod(0o644), temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		return "", errors.Join(err, os.Remove(temp.Name()))
	}
	return digest, nil
}

func (img Image) config(diffID string) config {
	var ports map[string]struct{}
	for _, p := range img.Ports {
		if ports == nil {
			ports = map[string]struct{}{}
		}
		ports[p] = struct{}{}
	}
	return config{
		platform: platform{img.Arch, "linux"},
		Created:  epoch.Format("2006-01-02T15:04:05Z"),
		Config:   runConfig{img.User, ports, img.Env, img.Entrypoint, img.Cmd, img.WorkingDir, img.Labels},
		RootFS:   rootFS{"layers", []string{diffID}},
	}
}

// blobs writes the entries of the archive and remembers the first error.
type blobs struct {
	tar *tar.Writer
	err error
}

func (b *blobs) add(h *tar.Header, data []byte) {
	h.ModTime, h.Format = epoch, tar.FormatUSTAR
	if b.err == nil {
		b.err = b.tar.WriteHeader(h)
	}
	if b.err == nil {
		_, b.err = b.tar.Write(data)
	}
}

func (b *blobs) dir(name string) {
	b.add(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755}, nil)
}

func (b *blobs) file(name string, data []byte) {
	b.add(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(data))}, data)
}

func (b *blobs) blob(mediaType string, data []byte) descriptor {
	sum := sha256.Sum256(data)
	d := descriptor{MediaType: mediaType, Digest: "sha256:" + hex.EncodeToString(sum[:]), Size: len(data)}
	b.file(blobPath(d.Digest), data)
	return d
}

func (b *blobs) json(mediaType string, v any) descriptor { return b.blob(mediaType, b.encode(v)) }

func (b *blobs) encode(v any) []byte {
	data, err := json.Marshal(v)
	b.err = errors.Join(b.err, err)
	return data
}

func blobPath(digest string) string { return "blobs/sha256/" + digest[len("sha256:"):] }
