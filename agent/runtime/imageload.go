package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/images/archive"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/pkg/archive/compression"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// fromLabel says which archive an image came from.
const fromLabel = "kedge.io/imported-from"

// load imports and unpacks every image of an archive, all or none. from is its
// name. It returns names with digests.
func (im importer) load(ctx context.Context, archived io.Reader, from string) (map[string]string, error) {
	plain, err := compression.DecompressStream(archived)
	if err != nil {
		return nil, fmt.Errorf("decompress %s: %w", from, err)
	}
	defer func() { _ = plain.Close() }()
	ctx, done, err := lease(ctx, im.client)
	if err != nil {
		return nil, fmt.Errorf("import %s: %w", from, err)
	}
	defer func() { _ = done(context.WithoutCancel(ctx)) }()
	store := im.client.ContentStore()
	top, err := archive.ImportIndex(ctx, store, plain)
	if err != nil {
		return nil, fmt.Errorf("import %s: %w", from, readable(err))
	}
	found, err := named(ctx, store, top, from)
	if err != nil {
		return nil, fmt.Errorf("import %s: %w", from, err)
	}
	names := map[string]string{}
	for name, entry := range found {
		if err := im.create(ctx, name, entry, from); err != nil {
			return nil, fmt.Errorf("import %s: %w", from, err)
		}
		names[name] = entry.Digest.String()
	}
	return names, nil
}

// leaseLife is when what a killed import or bundle leaves is collected. One that
// takes longer, over a very slow line, would lose its first parts.
const leaseLife = 6 * time.Hour

// lease keeps parts of images that belong to no image yet, until done is called.
func lease(ctx context.Context, client *containerd.Client) (held context.Context, done func(context.Context) error, err error) {
	return client.WithLease(ctx, leases.WithRandomID(), leases.WithExpiration(leaseLife))
}

// readable words what an archive that is none or only half there leads to.
func readable(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the archive ends too early: %w", err)
	}
	return err
}

// named returns the images for this machine that an archive names.
func named(ctx context.Context, store content.Provider, top ocispec.Descriptor, from string) (map[string]ocispec.Descriptor, error) {
	data, err := content.ReadBlob(ctx, store, top)
	if err != nil {
		return nil, err
	}
	var idx ocispec.Index
	if err := json.Unmarshal(data, &idx); err != nil {
		return nil, err
	}
	here, fullName := thisMachine(), namer(from)
	found, other := map[string]ocispec.Descriptor{}, map[string]error{}
	for _, m := range idx.Manifests {
		name := m.Annotations[images.AnnotationImageName]
		if name == "" {
			name = m.Annotations[ocispec.AnnotationRefName]
		}
		if name != "" {
			name = fullName(name)
		}
		if name == "" {
			continue
		}
		// An archive may have one name for several kinds of machines.
		switch _, err := here.parts(ctx, store, name, m); {
		case err == nil:
			found[name] = m
		case errors.As(err, new(*platformError)):
			other[name] = err
		default:
			return nil, fmt.Errorf("image %s: %w", name, err)
		}
	}
	for name := range found {
		delete(other, name)
	}
	if len(found)+len(other) == 0 {
		return nil, errNoName
	}
	return found, errors.Join(values(other)...)
}

func values(m map[string]error) []error {
	var out []error
	for _, err := range m {
		out = append(out, err)
	}
	return out
}

// create makes one image known, after its parts are tied to it and unpacked.
func (im importer) create(ctx context.Context, name string, entry ocispec.Descriptor, from string) error {
	store := im.client.ContentStore()
	if err := images.Walk(ctx, images.SetChildrenLabels(store, thisMachine().children(store, name)), entry); err != nil {
		return fmt.Errorf("image %s: %w", name, err)
	}
	labels := maps.Clone(imageLabels)
	labels[fromLabel] = from
	img := images.Image{Name: name, Target: entry, Labels: labels}
	if err := containerd.NewImage(im.client, img).Unpack(ctx, im.snapshotter); err != nil {
		return fmt.Errorf("unpack image %s: %w", name, err)
	}
	service := im.client.ImageService()
	_, err := service.Update(ctx, img, "target", "labels")
	if errdefs.IsNotFound(err) {
		_, err = service.Create(ctx, img)
	}
	if err != nil {
		return fmt.Errorf("image %s: %w", name, err)
	}
	return nil
}
