package runtime

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// shelf is a content store with images in it.
type shelf struct {
	content.Store
	t *testing.T
}

func newShelf(t *testing.T) shelf {
	t.Helper()
	s, err := local.NewStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return shelf{s, t}
}

// put stores v, or bytes as they are.
func (s shelf) put(mediaType string, v any) ocispec.Descriptor {
	s.t.Helper()
	data, ok := v.([]byte)
	if !ok {
		var err error
		if data, err = json.Marshal(v); err != nil {
			s.t.Fatal(err)
		}
	}
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	if err := content.WriteBlob(s.t.Context(), s, d.Digest.String(), bytes.NewReader(data), d); err != nil {
		s.t.Fatal(err)
	}
	return d
}

// image stores one for an architecture.
func (s shelf) image(arch string) ocispec.Descriptor {
	s.t.Helper()
	p := ocispec.Platform{OS: "linux", Architecture: arch}
	m := ocispec.Manifest{
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    s.put(ocispec.MediaTypeImageConfig, ocispec.Image{Platform: p}),
		Layers:    []ocispec.Descriptor{s.put(ocispec.MediaTypeImageLayer, []byte("layer for "+arch))},
	}
	m.SchemaVersion = 2
	d := s.put(ocispec.MediaTypeImageManifest, m)
	d.Platform = &p
	return d
}

func (s shelf) index(of ...ocispec.Descriptor) ocispec.Descriptor {
	s.t.Helper()
	i := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: of}
	i.SchemaVersion = 2
	return s.put(ocispec.MediaTypeImageIndex, i)
}

func TestPartsOfAnImageForManyMachinesAreThoseOfOne(t *testing.T) {
	s := newShelf(t)
	arm := s.image("arm64")
	top := s.index(s.image("amd64"), arm, ocispec.Descriptor{
		MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("an attestation that is not here"), Size: 1,
		Platform: &ocispec.Platform{OS: "unknown", Architecture: "unknown"},
	})
	c, err := otherMachine("linux/arm64")
	if err != nil {
		t.Fatal(err)
	}
	parts, err := c.parts(t.Context(), s, "app", top)
	if err != nil || len(parts) != 4 || parts[0].Digest != top.Digest || parts[1].Digest != arm.Digest {
		t.Fatalf("parts %+v, %v", parts, err)
	}
	// Nothing of other machines needs to be in an archive, and names with the
	// digest of the index stay good.
	children, err := c.children(s, "app")(t.Context(), top)
	if err != nil || len(children) != 1 || children[0].Digest != arm.Digest {
		t.Errorf("children %+v, %v", children, err)
	}
}

func TestImageForAnotherMachineIsRefusedByName(t *testing.T) {
	s := newShelf(t)
	c, err := otherMachine("linux/s390x")
	if err != nil {
		t.Fatal(err)
	}
	alone := s.image("arm64")
	alone.Platform = nil // as in an archive, where only the configuration tells
	for what, top := range map[string]ocispec.Descriptor{"index": s.index(s.image("amd64"), s.image("arm64")), "alone": alone} {
		_, err := c.parts(t.Context(), s, "app", top)
		if !errors.As(err, new(*platformError)) || !strings.Contains(err.Error(), "linux/arm64") || !strings.Contains(err.Error(), "not for linux/s390x") {
			t.Errorf("%s: %v", what, err)
		}
	}
}
