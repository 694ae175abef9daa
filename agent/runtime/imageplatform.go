package runtime

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// platformError is about an image that is not made for a kind of machine.
type platformError struct {
	image string
	have  []string
	want  string
}

func (e *platformError) Error() string {
	return fmt.Sprintf("image %s is for %s and not for %s", e.image, strings.Join(e.have, ", "), e.want)
}

// choice is what of an image is used on one kind of machine.
type choice struct {
	platforms.MatchComparer
	name string // as "linux/arm64"
}

// thisMachine chooses as kubelet and containerd do.
func thisMachine() choice {
	return choice{platforms.Default(), platforms.Format(platforms.DefaultSpec())}
}

// otherMachine chooses for a platform such as "linux/arm64"; empty is this one.
func otherMachine(name string) (choice, error) {
	if name == "" {
		return thisMachine(), nil
	}
	p, err := platforms.Parse(name)
	if err != nil {
		return choice{}, fmt.Errorf("platform %q: expected one such as linux/amd64 or linux/arm64", name)
	}
	if p.OS != "linux" {
		return choice{}, fmt.Errorf("platform %q: kedge runs images for linux only", name)
	}
	return choice{platforms.Only(p), platforms.Format(p)}, nil
}

// parts returns what an image consists of for c: the index if there is one, the
// one manifest that fits best, its configuration and layers. All but the layers
// must be in store.
func (c choice) parts(ctx context.Context, store content.Provider, name string, top ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	var out []ocispec.Descriptor
	for images.IsIndexType(top.MediaType) {
		out = append(out, top)
		next, err := c.best(ctx, store, name, top)
		if err != nil {
			return nil, err
		}
		top = next
	}
	children, err := images.Children(ctx, store, top)
	if err != nil {
		return nil, err
	}
	for _, d := range children {
		if !images.IsConfigType(d.MediaType) {
			continue
		}
		// Index entries may say nothing or something else.
		p, err := images.ConfigPlatform(ctx, store, d)
		if err != nil {
			return nil, err
		}
		if p.OS != "" && !c.Match(p) {
			return nil, &platformError{name, []string{platforms.Format(p)}, c.name}
		}
	}
	return append(append(out, top), children...), nil
}

// best is the entry of an index that fits best.
func (c choice) best(ctx context.Context, store content.Provider, name string, index ocispec.Descriptor) (ocispec.Descriptor, error) {
	data, err := content.ReadBlob(ctx, store, index)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	var idx ocispec.Index
	if err := json.Unmarshal(data, &idx); err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("index of %s: %w", name, err)
	}
	fit, have := c.sift(idx.Manifests)
	if len(fit) == 0 {
		return ocispec.Descriptor{}, &platformError{name, have, c.name}
	}
	return fit[0], nil
}

// sift returns the entries that fit, the best first, and what all are for.
func (c choice) sift(all []ocispec.Descriptor) (fit []ocispec.Descriptor, have []string) {
	for _, d := range all {
		if d.Platform == nil || c.Match(*d.Platform) {
			fit = append(fit, d)
		}
		if d.Platform != nil && d.Platform.OS != "unknown" { // that is an attestation
			have = append(have, platforms.Format(*d.Platform))
		}
	}
	slices.SortStableFunc(fit, func(a, b ocispec.Descriptor) int {
		switch {
		case a.Platform == nil || b.Platform == nil:
			return boolInt(a.Platform == nil) - boolInt(b.Platform == nil)
		case c.Less(*a.Platform, *b.Platform):
			return -1
		}
		return boolInt(c.Less(*b.Platform, *a.Platform))
	})
	return fit, have
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// children is the handler that goes from an image to what c uses of it.
func (c choice) children(store content.Provider, name string) images.HandlerFunc {
	return func(ctx context.Context, d ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		if !images.IsIndexType(d.MediaType) {
			return images.Children(ctx, store, d)
		}
		next, err := c.best(ctx, store, name, d)
		if err != nil {
			return nil, err
		}
		return []ocispec.Descriptor{next}, nil
	}
}
