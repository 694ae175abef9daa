package bundle

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/klauspost/compress/zstd"
)

// content is one file of a test's bundle: a link when link is set.
type content struct{ path, data, link string }

var small = []content{
	{path: "bin/cni", data: "plugins"},
	{path: "bin/bridge", link: "cni"},
	{path: "bin/runc", data: strings.Repeat("runc", 1000)},
	{path: "images/pause.tar", data: "pause"},
}

// pack makes an archive and its manifest.
func pack(t *testing.T, files []content) (archive, Manifest) {
	t.Helper()
	var buf bytes.Buffer
	z, err := zstd.NewWriter(&buf)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(z)
	m := Manifest{Arch: "amd64"}
	for _, c := range files {
		f := File{Path: c.path, Link: c.link}
		h := &tar.Header{Name: c.path, Typeflag: tar.TypeSymlink, Linkname: c.link}
		if c.link == "" {
			sum := sha256.Sum256([]byte(c.data))
			f.Mode, f.Size, f.SHA256 = 0o755, int64(len(c.data)), hex.EncodeToString(sum[:])
			h = &tar.Header{Name: c.path, Typeflag: tar.TypeReg, Mode: 0o755, Size: f.Size}
		}
		m.Files = append(m.Files, f)
		must(t, w.WriteHeader(h))
		_, err := w.Write([]byte(c.data))
		must(t, err)
	}
	must(t, errors.Join(w.Close(), z.Close()))
	m.ID = m.ContentID()
	text, err := json.Marshal(m)
	must(t, err)
	return archive{fstest.MapFS{
		manifestName: {Data: text},
		archiveName:  {Data: buf.Bytes()},
	}}, m
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func unpack(t *testing.T, a archive, dir string) Slot {
	t.Helper()
	s, err := a.unpack(context.Background(), dir)
	must(t, err)
	return s
}

// names lists what is in a folder.
func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return strings.Join(all, " ")
}

func TestUnpackFillsASlotAndPointsAtIt(t *testing.T) {
	a, m := pack(t, small)
	dir := filepath.Join(t.TempDir(), "data")
	s := unpack(t, a, dir)
	if s.Action != Unpacked || s.Dir != filepath.Join(dir, m.ID) {
		t.Fatalf("slot %+v", s)
	}
	for _, c := range small {
		got, err := os.ReadFile(filepath.Join(dir, currentName, c.path))
		want := c.data
		if c.link != "" {
			want = "plugins"
		}
		if err != nil || string(got) != want {
			t.Errorf("%s holds %d bytes, %v", c.path, len(got), err)
		}
	}
	st, err := os.Stat(filepath.Join(s.Bin(), "runc"))
	if err != nil || st.Mode() != 0o755 {
		t.Errorf("runc: %v, %v", st, err)
	}
	if got, want := names(t, dir), ".lock "+m.ID+" current"; got != want {
		t.Errorf("folder holds %q, want %q", got, want)
	}
}

func TestSecondUnpackKeepsTheSlot(t *testing.T) {
	a, _ := pack(t, small)
	dir := t.TempDir()
	first := unpack(t, a, dir)
	before, err := os.Stat(first.Dir)
	must(t, err)
	// Without the archive only a slot that needs nothing can succeed.
	delete(a.files.(fstest.MapFS), archiveName)
	second := unpack(t, a, dir)
	after, err := os.Stat(second.Dir)
	must(t, err)
	if second.Action != Kept || !os.SameFile(before, after) {
		t.Fatalf("second call: %+v", second)
	}
}

func TestDamagedSlotIsReplaced(t *testing.T) {
	for name, damage := range map[string]func(slot string) error{
		"shorter file": func(s string) error { return os.Truncate(s+"/bin/runc", 3) },
		"missing file": func(s string) error { return os.Remove(s + "/images/pause.tar") },
		"wrong mode":   func(s string) error { return os.Chmod(s+"/bin/runc", 0o600) },
		"wrong link": func(s string) error {
			return errors.Join(os.Remove(s+"/bin/bridge"), os.Symlink("runc", s+"/bin/bridge"))
		},
		"no slot at all": os.RemoveAll,
		"a file instead": func(s string) error { return errors.Join(os.RemoveAll(s), os.WriteFile(s, nil, 0o600)) },
		"other content, no marker": func(s string) error {
			return errors.Join(os.WriteFile(s+"/bin/cni", []byte("PLUGINS"), 0o755), os.Remove(s+"/"+markerName))
		},
		"other content, odd marker": func(s string) error {
			return errors.Join(os.WriteFile(s+"/bin/cni", []byte("PLUGINS"), 0o755), os.WriteFile(s+"/"+markerName, []byte("?"), 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, m := pack(t, small)
			dir := t.TempDir()
			s := unpack(t, a, dir)
			must(t, damage(s.Dir))
			again := unpack(t, a, dir)
			if again.Action == Kept || (again.Action == Repaired) != (again.Damage != nil) {
				t.Errorf("after the damage: %+v", again)
			}
			if err := check(s.Dir, m); err != nil {
				t.Errorf("still damaged: %v", err)
			}
			if got, want := names(t, dir), ".lock "+m.ID+" current"; got != want {
				t.Errorf("folder holds %q, want %q", got, want)
			}
		})
	}
}

func TestGoodSlotWithoutMarkerIsKeptAndMarkedAgain(t *testing.T) {
	a, m := pack(t, small)
	dir := t.TempDir()
	s := unpack(t, a, dir)
	must(t, os.Remove(filepath.Join(s.Dir, markerName)))
	if again := unpack(t, a, dir); again.Action != Kept {
		t.Fatalf("got %+v", again)
	}
	if got, err := os.ReadFile(filepath.Join(s.Dir, markerName)); err != nil || string(got) != m.list() {
		t.Fatalf("marker %q, %v", got, err)
	}
}

func TestArchiveThatIsNotItsManifestIsRefused(t *testing.T) {
	good, _ := pack(t, small)
	for name, files := range map[string][]content{
		"other content": {small[0], small[1], small[2], {path: "images/pause.tar", data: "PAUSE"}},
		"unlisted file": append([]content{{path: "bin/evil", data: "x"}}, small...),
		"missing file":  small[:2],
	} {
		t.Run(name, func(t *testing.T) {
			other, _ := pack(t, files)
			bad := archive{fstest.MapFS{
				manifestName: good.files.(fstest.MapFS)[manifestName],
				archiveName:  other.files.(fstest.MapFS)[archiveName],
			}}
			dir := t.TempDir()
			if _, err := bad.unpack(context.Background(), dir); err == nil || !strings.Contains(err.Error(), "manifest") {
				t.Errorf("got %v", err)
			}
			if got := names(t, dir); got != ".lock" {
				t.Errorf("folder holds %q", got)
			}
		})
	}
}

func TestManifestIsChecked(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"not json":        {"{", "decode"},
		"empty":           {"{}", "lists no file"},
		"wrong id":        {`{"id":"0000000000000000","files":[{"path":"bin/a"}]}`, "its files have"},
		"outside":         {`{"files":[{"path":"../a"}]}`, `"../a"`},
		"beside folders":  {`{"files":[{"path":"current"}]}`, `"current"`},
		"link to outside": {`{"files":[{"path":"bin/a","link":"../../etc/passwd"}]}`, "leads to another folder"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := ParseManifest([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want something with %q", err, c.want)
			}
		})
	}
}

func TestBinaryWithoutBundleNamesTheRemedy(t *testing.T) {
	empty := archive{fstest.MapFS{"README.md": {}}}
	_, err := empty.unpack(context.Background(), t.TempDir())
	if !errors.Is(err, ErrNotBuilt) || !strings.Contains(err.Error(), "make build") {
		t.Fatalf("got %v", err)
	}
}

func TestEmbeddedBundleUnpacks(t *testing.T) {
	m, err := Embedded()
	if errors.Is(err, ErrNotBuilt) {
		t.Skip("needs the runtime bundle: make bundle")
	}
	must(t, err)
	s, err := Unpack(context.Background(), t.TempDir())
	must(t, err)
	for _, name := range []string{"runc", "containerd-shim-runc-v2", "bridge", "host-local", "portmap"} {
		st, err := os.Stat(filepath.Join(s.Bin(), name))
		if err != nil || st.Mode()&0o111 == 0 {
			t.Errorf("%s: %v, %v", name, st, err)
		}
	}
	if _, err := os.Stat(s.PauseArchive()); err != nil {
		t.Error(err)
	}
	if m.Versions["runc"] == "" || m.Arch == "" {
		t.Errorf("manifest %+v", m)
	}
}
