package ociimage

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func sample() Image {
	return Image{
		Ref: "registry.example/app:1", Arch: "amd64",
		Entrypoint: []string{"/bin/app"}, Cmd: []string{"--serve"}, Env: []string{"A=b"},
		User: "65535:65535", Ports: []string{"8080/tcp"},
		Files: []File{
			{Path: "/bin/app", Mode: 0o755, Data: []byte("program")},
			{Path: "/bin/sh", Mode: fs.ModeSymlink, Link: "app"},
			{Path: "/tmp", Mode: fs.ModeDir | fs.ModeSticky | 0o777},
		},
	}
}

func write(t *testing.T, img Image) []byte {
	t.Helper()
	var buf bytes.Buffer
	if _, err := Write(&buf, img); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// entries reads a tar: names in order and content by name.
func entries(t *testing.T, data []byte) (headers []*tar.Header, content map[string][]byte) {
	t.Helper()
	content = map[string][]byte{}
	r := tar.NewReader(bytes.NewReader(data))
	for {
		h, err := r.Next()
		if err == io.EOF {
			return headers, content
		}
		if err != nil {
			t.Fatal(err)
		}
		headers = append(headers, h)
		if content[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}

func decode[T any](t *testing.T, data []byte) (v T) {
	t.Helper()
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatalf("%v in %s", err, data)
	}
	return v
}

func TestEqualInputGivesEqualBytes(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := os.WriteFile(path, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	img := sample()
	img.Files = append(img.Files, File{Path: "/etc/file", Mode: 0o644, Source: path})
	first := write(t, img)
	if err := os.Chtimes(path, time.Now(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	last := len(img.Files) - 1
	img.Files[0], img.Files[last] = img.Files[last], img.Files[0]
	if !bytes.Equal(first, write(t, img)) {
		t.Fatal("another time or order of the files changed the archive")
	}
}

func TestDescriptorsLeadFromTheIndexToTheLayer(t *testing.T) {
	data := write(t, sample())
	_, files := entries(t, data)
	for name, blob := range files {
		if digest, ok := strings.CutPrefix(name, "blobs/sha256/"); ok && digest != "" {
			if sum := sha256.Sum256(blob); hex.EncodeToString(sum[:]) != digest {
				t.Errorf("%s holds something else", name)
			}
		}
	}
	top := decode[index](t, files["index.json"]).Manifests[0]
	if top.Annotations["io.containerd.image.name"] != "registry.example/app:1" || top.Platform.Architecture != "amd64" {
		t.Errorf("index entry %+v", top)
	}
	m := decode[manifest](t, files[blobPath(top.Digest)])
	c := decode[config](t, files[blobPath(m.Config.Digest)])
	if c.Config.Entrypoint[0] != "/bin/app" || c.Config.User != "65535:65535" || c.OS != "linux" {
		t.Errorf("config %+v", c)
	}
	if c.RootFS.DiffIDs[0] != m.Layers[0].Digest {
		t.Errorf("diff id %s, layer %s", c.RootFS.DiffIDs[0], m.Layers[0].Digest)
	}
	d := decode[[]dockerManifest](t, files["manifest.json"])[0]
	if d.RepoTags[0] != "registry.example/app:1" || d.Layers[0] != blobPath(m.Layers[0].Digest) {
		t.Errorf("docker manifest %+v", d)
	}
}

func TestLayerHasParentsBeforeChildrenAndNoOwner(t *testing.T) {
	data, err := layer(sample().Files)
	if err != nil {
		t.Fatal(err)
	}
	headers, files := entries(t, data)
	var got []string
	for _, h := range headers {
		got = append(got, h.Name)
		if h.Uid != 0 || h.Gid != 0 || h.Uname != "" || h.ModTime.Unix() != 0 {
			t.Errorf("%s has an owner or a time: %+v", h.Name, h)
		}
	}
	if want := "bin/ bin/app bin/sh tmp/"; strings.Join(got, " ") != want {
		t.Errorf("layer holds %q, want %q", got, want)
	}
	if string(files["bin/app"]) != "program" || headers[2].Linkname != "app" || headers[3].Mode != 0o1777 {
		t.Errorf("headers %+v %+v", headers[2], headers[3])
	}
}

func TestFromDirKeepsModesAndLinks(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "bin", "a"), []byte("a"), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("a", filepath.Join(dir, "bin", "b")); err != nil {
		t.Fatal(err)
	}
	files, err := FromDir(dir, "/opt")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 3 || files[1].Path != "/opt/bin/a" || files[1].Mode != 0o750 || files[2].Link != "a" {
		t.Fatalf("got %+v", files)
	}
}

func TestWrongDescriptionIsRefusedAsAWhole(t *testing.T) {
	img := Image{Ref: "localhost:5000/app", Files: []File{{Path: "relative"}, {Path: "/a"}, {Path: "/a"}}}
	err := img.Validate()
	for _, want := range []string{`"localhost:5000/app"`, "GOARCH", `"relative"`, "there twice"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %s", err, want)
		}
	}
}

func TestWriteFileLeavesNothingWhenASourceIsMissing(t *testing.T) {
	dir := t.TempDir()
	img := sample()
	img.Files = append(img.Files, File{Path: "/gone", Mode: 0o644, Source: filepath.Join(dir, "gone")})
	if _, err := WriteFile(filepath.Join(dir, "out.tar"), img); err == nil {
		t.Fatal("a missing source was not noticed")
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Fatalf("left %v", left)
	}
	img.Files = img.Files[:3]
	digest, err := WriteFile(filepath.Join(dir, "out.tar"), img)
	if err != nil || !strings.HasPrefix(digest, "sha256:") {
		t.Fatalf("%q, %v", digest, err)
	}
}
