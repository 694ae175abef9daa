package snapshot

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"
)

// Archive is a snapshot that was opened for reading.
type Archive struct {
	r        io.ReaderAt
	close    func() error
	trailer  trailer
	manifest Manifest
}

// Open opens the snapshot at path. It reads the manifest and finds out whether
// the file has its whole length, not whether a bit has changed: that is what
// [Archive.Verify] and [Archive.Extract] do. Errors about the content wrap
// [ErrDamaged] and name the path.
func Open(path string) (*Archive, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open snapshot: %w", err)
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("%w: it is no regular file", ErrDamaged)
	}
	var a *Archive
	if err == nil {
		a, err = Read(f, st.Size())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("snapshot %s: %w", path, err), f.Close())
	}
	a.close = f.Close
	return a, nil
}

// Read is [Open] for a snapshot of size bytes that lies elsewhere.
func Read(r io.ReaderAt, size int64) (*Archive, error) {
	t, err := readTrailer(r, size)
	if err != nil {
		return nil, err
	}
	a := &Archive{r: r, close: func() error { return nil }, trailer: t}
	parts, err := a.parts()
	if err != nil {
		return nil, err
	}
	defer parts.Close()
	raw, err := parts.small(partManifest, maxManifest)
	if err != nil {
		return nil, err
	}
	a.manifest, err = parseManifest(raw)
	return a, err
}

// Manifest says what is in the snapshot.
func (a *Archive) Manifest() Manifest { return a.manifest }

// Close closes the file.
func (a *Archive) Close() error { return a.close() }

// Verify reads everything once and compares all sums. Its errors wrap
// [ErrDamaged] when the content is wrong.
func (a *Archive) Verify(ctx context.Context) error {
	if err := a.trailer.verify(ctx, a.r); err != nil {
		return err
	}
	_, err := a.unpack(ctx, io.Discard)
	return err
}

// Extract writes the database to w and returns the sealed identity, see
// [OpenIdentity]. What was written counts only when there is no error: sums are
// compared at the end.
func (a *Archive) Extract(ctx context.Context, w io.Writer) (sealed []byte, err error) {
	if err := a.trailer.verify(ctx, a.r); err != nil {
		return nil, err
	}
	return a.unpack(ctx, w)
}

func (a *Archive) unpack(ctx context.Context, w io.Writer) ([]byte, error) {
	parts, err := a.parts()
	if err != nil {
		return nil, err
	}
	defer parts.Close()
	if _, err := parts.small(partManifest, maxManifest); err != nil {
		return nil, err
	}
	if err := parts.next(partDatabase); err != nil {
		return nil, err
	}
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(w, sum), untilDone{ctx, parts.tar})
	if err != nil {
		return nil, damagedBy(partDatabase, err)
	}
	if err := a.manifest.part(partDatabase).compare(n, sum.Sum(nil)); err != nil {
		return nil, err
	}
	sealed, err := parts.small(partIdentity, 2*maxIdentity)
	if err != nil {
		return nil, err
	}
	got := sha256.Sum256(sealed)
	return sealed, a.manifest.part(partIdentity).compare(int64(len(sealed)), got[:])
}

// parts reads the archive from its beginning.
func (a *Archive) parts() (*parts, error) {
	z, err := zstd.NewReader(io.NewSectionReader(a.r, 0, a.trailer.size), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxWindow))
	if err != nil {
		return nil, fmt.Errorf("read snapshot: %w", err)
	}
	return &parts{z: z, tar: tar.NewReader(z)}, nil
}

// maxWindow bounds what a frame may ask for, in bytes.
const maxWindow = 32 << 20

// parts walks over the files of an archive.
type parts struct {
	z   *zstd.Decoder
	tar *tar.Reader
}

func (p *parts) Close() { p.z.Close() }

// next goes on to the next file, which must be name.
func (p *parts) next(name string) error {
	head, err := p.tar.Next()
	if err != nil {
		return damagedBy(name, err)
	}
	if head.Name != name || head.Typeflag != tar.TypeReg {
		return fmt.Errorf("%w: %.80q is where %s should be", ErrDamaged, head.Name, name)
	}
	return nil
}

// small is the next file as a whole.
func (p *parts) small(name string, limit int64) ([]byte, error) {
	if err := p.next(name); err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(io.LimitReader(p.tar, limit+1))
	if err != nil {
		return nil, damagedBy(name, err)
	}
	if int64(len(raw)) > limit {
		return nil, fmt.Errorf("%w: %s is larger than %d bytes", ErrDamaged, name, limit)
	}
	return raw, nil
}

// damagedBy tells trouble of the content from that of who waits or writes.
func damagedBy(name string, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || isWriteError(err) {
		return fmt.Errorf("read %s of the snapshot: %w", name, err)
	}
	return fmt.Errorf("%w: %s: %w", ErrDamaged, name, err)
}

// isWriteError tells a failure to write what was read.
func isWriteError(err error) bool {
	var p *os.PathError
	return errors.As(err, &p) && p.Op == "write"
}

// compare holds what was read against what the manifest says.
func (p Part) compare(bytes int64, sum []byte) error {
	if bytes != p.Bytes || hex.EncodeToString(sum) != p.SHA256 {
		return fmt.Errorf("%w: %s is not what the manifest says", ErrDamaged, p.Name)
	}
	return nil
}

// untilDone ends reading with ctx.
type untilDone struct {
	ctx context.Context
	r   io.Reader
}

func (u untilDone) Read(b []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(b)
}
