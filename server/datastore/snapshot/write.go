package snapshot

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"time"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)

const (
	// flushEvery bytes are on the disk before more is written, so that no single
	// flush makes the writers of the database wait for long.
	flushEvery = 4 << 20
	// keepFree is what a save leaves to others on the disk, in bytes. The
	// datastore stops at half of it.
	keepFree = 32 << 20
	// window of the compression, in bytes: it bounds its memory, here and at a
	// restore. Pages of objects that resemble each other lie close together.
	window = 1 << 20
)

// write makes the archive of database and sealed at path, which must not exist,
// and returns once it is on the disk. It fills the parts of m in.
func write(ctx context.Context, path string, m Manifest, database string, sealed []byte) (err error) {
	db, err := os.Open(database)
	if err != nil {
		return err
	}
	defer db.Close()
	if m.Parts, err = describe(ctx, db, sealed); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	out := &summed{w: &flushed{f: f}, sum: sha256.New()}
	if err := writeParts(ctx, out, m, db, sealed); err != nil {
		return err
	}
	end := trailer{size: out.n}
	copy(end.sum[:], out.sum.Sum(nil))
	if _, err := f.Write(end.bytes()); err != nil {
		return err
	}
	return f.Sync()
}

// describe sums up both parts and leaves db at its beginning.
func describe(ctx context.Context, db io.ReadSeeker, sealed []byte) ([]Part, error) {
	sum := sha256.New()
	n, err := io.Copy(sum, untilDone{ctx, db})
	if err != nil {
		return nil, err
	}
	if _, err := db.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	of := sha256.Sum256(sealed)
	return []Part{
		{Name: partDatabase, Bytes: n, SHA256: hex.EncodeToString(sum.Sum(nil))},
		{Name: partIdentity, Bytes: int64(len(sealed)), SHA256: hex.EncodeToString(of[:])},
	}, nil
}

// writeParts writes two frames of zstd, which decode as one: the first has the
// manifest alone, so that a list reads little.
func writeParts(ctx context.Context, out io.Writer, m Manifest, db io.Reader, sealed []byte) error {
	raw, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	z, err := zstd.NewWriter(out, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(window), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return err
	}
	tw := tar.NewWriter(z)
	head := func(name string, size int64) error {
		return tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o600, ModTime: m.Time.Truncate(time.Second)})
	}
	err = errors.Join(head(partManifest, int64(len(raw))), writeAll(tw, raw), tw.Flush(), z.Close())
	if err != nil {
		return err
	}
	z.Reset(out)
	if err := head(partDatabase, m.DatabaseBytes()); err != nil {
		return err
	}
	if _, err := io.Copy(tw, untilDone{ctx, db}); err != nil {
		return err
	}
	return errors.Join(head(partIdentity, int64(len(sealed))), writeAll(tw, sealed), tw.Close(), z.Close())
}

func writeAll(w io.Writer, raw []byte) error {
	_, err := w.Write(raw)
	return err
}

// summed counts and sums up what is written.
type summed struct {
	w   io.Writer
	sum hash.Hash
	n   int64
}

func (s *summed) Write(b []byte) (int, error) {
	n, err := s.w.Write(b)
	s.sum.Write(b[:n])
	s.n += int64(n)
	return n, err
}

// flushed writes to a file in portions that it flushes, and stops before the disk
// is full.
type flushed struct {
	f     *os.File
	since int64
}

func (w *flushed) Write(b []byte) (int, error) {
	n, err := w.f.Write(b)
	if w.since += int64(n); err != nil || w.since < flushEvery {
		return n, err
	}
	w.since = 0
	if err := unix.Fdatasync(int(w.f.Fd())); err != nil {
		return n, &os.PathError{Op: "write", Path: w.f.Name(), Err: err}
	}
	free, err := freeBytes(w.f.Name())
	if err == nil && free < keepFree {
		err = noSpace(w.f.Name(), free, keepFree)
	}
	return n, err
}

// freeBytes is what may still be used of the file system of path.
func freeBytes(path string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", path, err)
	}
	return int64(st.Bavail) * st.Bsize, nil //nolint:gosec // no disk has so many bytes
}

func noSpace(path string, free, need int64) error {
	return fmt.Errorf("%w: %d MiB free at %s, %d MiB needed: free some space, keep fewer snapshots (--snapshot-retention), or choose another --snapshot-dir",
		unix.ENOSPC, free>>20, path, (need+1<<20-1)>>20)
}
