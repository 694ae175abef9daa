package ociimage

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

// part is a blob of that text.
func part(text string) Blob {
	digest := "sha256:" + strings.Repeat(text[:1], 64)
	return Blob{digest, int64(len(text)), func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }}
}

func layout(names ...string) Layout {
	l := Layout{Blobs: []Blob{part("b layer"), part("a manifest"), part("b layer")}}
	for _, n := range names {
		l.Images = append(l.Images, Named{n, typeManifest, part("a").Digest, 10})
	}
	return l
}

func TestOrderOfImagesAndPartsDoesNotMatter(t *testing.T) {
	var one, two bytes.Buffer
	first, second := layout("r.example/b:1", "r.example/a:1"), layout("r.example/a:1", "r.example/b:1")
	second.Blobs[0], second.Blobs[1] = second.Blobs[1], second.Blobs[0]
	if err := errors.Join(first.Write(&one), second.Write(&two)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(one.Bytes(), two.Bytes()) {
		t.Error("another order gave other bytes")
	}
	headers, files := entries(t, one.Bytes())
	if len(headers) != 6 || string(files[blobPath(part("b").Digest)]) != "b layer" {
		t.Errorf("%d entries", len(headers))
	}
	top := decode[index](t, files["index.json"]).Manifests
	if len(top) != 2 || top[0].Annotations["io.containerd.image.name"] != "r.example/a:1" || top[0].Annotations["org.opencontainers.image.ref.name"] != "1" {
		t.Errorf("index %+v", top)
	}
}

func TestImageByDigestHasNoTag(t *testing.T) {
	var out bytes.Buffer
	name := "r.example/a@" + part("a").Digest
	if err := layout(name).Write(&out); err != nil {
		t.Fatal(err)
	}
	_, files := entries(t, out.Bytes())
	a := decode[index](t, files["index.json"]).Manifests[0].Annotations
	if _, tagged := a["org.opencontainers.image.ref.name"]; tagged || a["io.containerd.image.name"] != name {
		t.Errorf("annotations %v", a)
	}
}

func TestPartOfAnotherSizeIsAnError(t *testing.T) {
	l := layout()
	l.Blobs[0].Size++
	if err := l.Write(io.Discard); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v", err)
	}
}
