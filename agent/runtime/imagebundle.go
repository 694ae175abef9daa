package runtime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/remotes/docker/config"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/distribution/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/sirupsen/logrus"

	"github.com/kedge-io/kedge/internal/ociimage"
)

// Bundle writes one archive with the named images for a platform such as
// "linux/arm64"; empty is this machine's. What is not there is pulled by the
// node's registry settings, and stays nowhere but in the archive. Equal images
// give equal bytes. told gets a line for each image that is pulled.
func (s *ImageStore) Bundle(ctx context.Context, w io.Writer, names []string, platform string, told func(string)) error {
	c, err := otherMachine(platform)
	if err != nil {
		return err
	}
	full, err := fullNames(names)
	if err != nil {
		return err
	}
	// containerd's own notes would come between those of the command. The lease
	// keeps what is pulled until the archive is written.
	ctx, done, err := lease(log.WithLogger(ctx, silent()), s.client)
	if err != nil {
		return err
	}
	defer func() { _ = done(context.WithoutCancel(ctx)) }()
	var out ociimage.Layout
	for _, name := range full {
		top, parts, err := s.gather(ctx, c, name, told)
		if err != nil {
			return err
		}
		out.Images = append(out.Images, ociimage.Named{Name: name, MediaType: top.MediaType, Digest: top.Digest.String(), Size: top.Size})
		for _, d := range parts {
			out.Blobs = append(out.Blobs, s.blob(ctx, d))
		}
	}
	return out.Write(w)
}

func silent() *log.Entry {
	l := logrus.New()
	l.SetOutput(io.Discard)
	return logrus.NewEntry(l)
}

// fullNames makes names as kubelet does, in order and each once.
func fullNames(names []string) ([]string, error) {
	var out []string
	var errs []error
	for _, n := range names {
		ref, err := reference.ParseDockerRef(n)
		if err != nil {
			errs = append(errs, fmt.Errorf("image %q: %w", n, err))
			continue
		}
		out = append(out, ref.String())
	}
	slices.Sort(out)
	return slices.Compact(out), errors.Join(errs...)
}

// gather finds the parts of an image, and pulls them if one is missing.
func (s *ImageStore) gather(ctx context.Context, c choice, name string, told func(string)) (ocispec.Descriptor, []ocispec.Descriptor, error) {
	img, err := s.client.ImageService().Get(ctx, name)
	if err == nil {
		var parts []ocispec.Descriptor
		if parts, err = s.whole(ctx, c, name, img.Target); err == nil {
			return img.Target, parts, nil
		}
	}
	// What is here may be for another platform than what the registry has.
	if !errdefs.IsNotFound(err) && !errors.As(err, new(*platformError)) {
		return ocispec.Descriptor{}, nil, err
	}
	told(name)
	top, err := s.fetch(ctx, c, name)
	if err != nil {
		return top, nil, fmt.Errorf("pull %s for %s: %w", name, c.name, err)
	}
	parts, err := s.whole(ctx, c, name, top)
	return top, parts, err
}

// whole returns all parts of an image, or an error that is errdefs.ErrNotFound if
// one of them is not there.
func (s *ImageStore) whole(ctx context.Context, c choice, name string, top ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	store := s.client.ContentStore()
	parts, err := c.parts(ctx, store, name, top)
	if err != nil {
		return nil, err
	}
	for _, d := range parts {
		if _, err := store.Info(ctx, d.Digest); err != nil {
			return nil, fmt.Errorf("part %s of %s: %w", d.Digest, name, err)
		}
	}
	return parts, nil
}

// fetch downloads an image as kubelet's pull would, without making it known.
func (s *ImageStore) fetch(ctx context.Context, c choice, name string) (ocispec.Descriptor, error) {
	resolver := docker.NewResolver(docker.ResolverOptions{
		Hosts: config.ConfigureHosts(ctx, config.HostOptions{HostDir: config.HostDirFromRoot(s.cfg.certsDir())}),
	})
	_, top, err := resolver.Resolve(ctx, name)
	if err != nil {
		return top, err
	}
	fetcher, err := resolver.Fetcher(ctx, name)
	if err != nil {
		return top, err
	}
	store := s.client.ContentStore()
	return top, images.Dispatch(ctx, images.Handlers(remotes.FetchHandler(store, fetcher), c.children(store, name)), nil, top)
}

func (s *ImageStore) blob(ctx context.Context, d ocispec.Descriptor) ociimage.Blob {
	return ociimage.Blob{Digest: d.Digest.String(), Size: d.Size, Open: func() (io.ReadCloser, error) {
		r, err := s.client.ContentStore().ReaderAt(ctx, d)
		if err != nil {
			return nil, err
		}
		return struct {
			io.Reader
			io.Closer
		}{content.NewReader(r), r}, nil
	}}
}

func sortedNames(m map[string]string) []string {
	out := keys(m)
	slices.Sort(out)
	return out
}

func sortImages(all []ImageInfo) {
	slices.SortFunc(all, func(a, b ImageInfo) int { return strings.Compare(a.Name, b.Name) })
}
