package payload

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/zstd"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var program = bytes.Repeat([]byte("kedge and its parts "), 50_000)

// release makes a release file and returns its path.
func release(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	z, err := zstd.NewWriter(nil)
	must(t, err)
	for name, data := range map[string][]byte{
		"launcher": []byte("#!launcher\n"), "program": program, "packed": z.EncodeAll(program, nil),
	} {
		must(t, os.WriteFile(filepath.Join(dir, name), data, 0o600))
	}
	path := filepath.Join(dir, "release")
	out, err := os.Create(path)
	must(t, err)
	must(t, Append(out, filepath.Join(dir, "launcher"), filepath.Join(dir, "program"), filepath.Join(dir, "packed"), "amd64"))
	must(t, out.Close())
	return path
}

// unpack reads the program back.
func unpack(path string) ([]byte, error) {
	p, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = p.Close() }()
	var got bytes.Buffer
	err = p.Unpack(context.Background(), &got)
	return got.Bytes(), err
}

func TestProgramComesBackFromBehindTheLauncher(t *testing.T) {
	path := release(t)
	got, err := unpack(path)
	if err != nil || !bytes.Equal(got, program) {
		t.Fatalf("got %d bytes, %v", len(got), err)
	}
	p, err := Open(path)
	must(t, err)
	if p.Arch != "amd64" || p.Size != int64(len(program)) || len(p.ID()) != 16 {
		t.Errorf("trailer %+v", p.Trailer)
	}
	must(t, p.Close())
}

func TestCutFileHasNoPayload(t *testing.T) {
	whole, err := os.ReadFile(release(t))
	must(t, err)
	for _, length := range []int{0, 5, 11, trailerSize, len(whole) / 2, len(whole) - 1} {
		path := filepath.Join(t.TempDir(), "cut")
		must(t, os.WriteFile(path, whole[:length], 0o600))
		if _, err := unpack(path); !errors.Is(err, ErrNone) {
			t.Errorf("cut to %d of %d bytes: %v", length, len(whole), err)
		}
	}
}

// Every byte behind the launcher is covered: by the digest, by zstd's own sum
// or by a check of the trailer.
func TestChangedByteIsNoticed(t *testing.T) {
	whole, err := os.ReadFile(release(t))
	must(t, err)
	const launcher, unused = 11, 8
	for at := launcher; at < len(whole); at++ {
		if from := len(whole) - 16 - unused; at >= from && at < from+unused {
			continue
		}
		if at >= len(whole)-trailerSize && at < len(whole)-trailerSize+8 {
			continue // the architecture is checked by whoever starts the program
		}
		changed := bytes.Clone(whole)
		changed[at] ^= 0x10
		path := filepath.Join(t.TempDir(), "changed")
		must(t, os.WriteFile(path, changed, 0o600))
		got, err := unpack(path)
		if err == nil && bytes.Equal(got, program) {
			continue // zstd's header has bits without meaning
		}
		if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrNone) {
			t.Errorf("byte %d of %d: %v", at, len(whole), err)
		}
	}
}

func TestPayloadThatWantsTooMuchMemoryIsRefused(t *testing.T) {
	var packed bytes.Buffer
	z, err := zstd.NewWriter(&packed, zstd.WithWindowSize(2*maxWindow))
	must(t, err)
	_, err = z.Write(program)
	must(t, err)
	// Without a flush the encoder, which then knows the length, makes the window
	// as small as that.
	must(t, errors.Join(z.Flush(), z.Close()))
	end, err := Trailer{Arch: "amd64", Packed: int64(packed.Len()), Size: int64(len(program)), SHA256: sha256.Sum256(program)}.encode()
	must(t, err)
	path := filepath.Join(t.TempDir(), "release")
	must(t, os.WriteFile(path, append(packed.Bytes(), end...), 0o600))
	if _, err := unpack(path); !errors.Is(err, ErrDamaged) {
		t.Errorf("got %v", err)
	}
}

func TestUnpackEndsWithItsContextAndKeepsTheWritersError(t *testing.T) {
	p, err := Open(release(t))
	must(t, err)
	defer func() { _ = p.Close() }()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := p.Unpack(ctx, &bytes.Buffer{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	full := errors.New("disk full")
	if err := p.Unpack(context.Background(), writer(func([]byte) (int, error) { return 0, full })); !errors.Is(err, full) || errors.Is(err, ErrDamaged) {
		t.Errorf("got %v", err)
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

func TestArchitectureMustFit(t *testing.T) {
	if _, err := (Trailer{Arch: "loongarch64"}).encode(); err == nil {
		t.Error("encoded a name that is too long")
	}
}

func FuzzTrailer(f *testing.F) {
	good, err := Trailer{Arch: "arm64", Packed: 10, Size: 20}.encode()
	must(f, err)
	f.Add(good, int64(1000))
	f.Add(good, int64(80))
	f.Add([]byte{}, int64(0))
	f.Fuzz(func(t *testing.T, data []byte, size int64) {
		got, err := decode(data, size)
		if err == nil && (got.Packed <= 0 || got.Packed > size-trailerSize || got.Size <= 0) {
			t.Errorf("accepted %+v in a file of %d bytes", got, size)
		}
	})
}
