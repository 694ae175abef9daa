package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/kedge-io/kedge/internal/lifecycle"
	"github.com/kedge-io/kedge/server/datastore/snapshot"
)

// Open reads end and manifest of a file and returns its size. The archive fetches
// what is read of it, with ctx; to read all of it, [Bucket.Download] it.
func (b *Bucket) Open(ctx context.Context, file string) (*snapshot.Archive, int64, error) {
	info, err := b.client.StatObject(ctx, b.cfg.Bucket, b.key(file), minio.StatObjectOptions{})
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", b.Location(file), b.explain(err))
	}
	a, err := b.read(ctx, file, info.Size)
	if err != nil {
		err = fmt.Errorf("%s: %w", b.Location(file), err)
	}
	return a, info.Size, err
}

func (b *Bucket) read(ctx context.Context, file string, size int64) (*snapshot.Archive, error) {
	r := &ranges{fetch: func(off, n int64) ([]byte, error) { return b.fetch(ctx, file, off, n) }, size: size}
	a, err := snapshot.Read(r, size)
	if r.err != nil {
		// What did not come says nothing of what is there.
		return nil, r.err
	}
	return a, err
}

// fetch is n bytes of file from off on.
func (b *Bucket) fetch(ctx context.Context, file string, off, n int64) ([]byte, error) {
	r, err := b.from(ctx, file, off, off+n)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	raw := make([]byte, n)
	if _, err := io.ReadFull(r, raw); err != nil {
		return nil, fmt.Errorf("read %s: %w", b.Location(file), b.explain(err))
	}
	return raw, nil
}

// from streams file from off up to end.
func (b *Bucket) from(ctx context.Context, file string, off, end int64) (io.ReadCloser, error) {
	var opts minio.GetObjectOptions
	if err := opts.SetRange(off, end-1); err != nil {
		return nil, err
	}
	o, err := b.client.GetObject(ctx, b.cfg.Bucket, b.key(file), opts)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", b.Location(file), b.explain(err))
	}
	return o, nil
}

// Download writes the file to the new file at path, for its owner alone, and goes
// on where it stopped when a connection is cut. It returns once the file is on the
// disk; what is in it is for the caller to verify.
func (b *Bucket) Download(ctx context.Context, file, path string) (err error) {
	info, err := b.client.StatObject(ctx, b.cfg.Bucket, b.key(file), minio.StatObjectOptions{})
	if err != nil {
		return fmt.Errorf("download %s: %w", b.Location(file), b.explain(err))
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("download %s: %w", b.Location(file), err)
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			err = errors.Join(err, os.Remove(path))
		}
	}()
	var done int64
	for fruitless := 0; done < info.Size; {
		n, err := b.more(ctx, f, file, done, info.Size)
		if done += n; n > 0 {
			fruitless = 0
		}
		if err == nil {
			continue
		}
		var disk *os.PathError
		if errors.As(err, &disk) {
			return fmt.Errorf("download %s: %w", b.Location(file), err)
		}
		// As long as bytes come, it goes on: a thin line is no failure.
		if fruitless++; fruitless > maxTries || ctx.Err() != nil || !lifecycle.Pause(ctx, time.Second<<min(fruitless, 4)) {
			return fmt.Errorf("download %s: %d of %d bytes: %w", b.Location(file), done, info.Size, b.explain(err))
		}
	}
	return f.Sync()
}

// more appends what one request brings.
func (b *Bucket) more(ctx context.Context, f io.Writer, file string, from, size int64) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, b.cfg.Timeout)
	defer cancel()
	r, err := b.from(ctx, file, from, size)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	n, err := io.Copy(f, r)
	if err == nil && n < size-from {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// portion is what is fetched at least at a time, in bytes, for readers that ask
// for little: most manifests, packed, are smaller.
const portion = 8 << 10

// ranges reads parts of an object. It keeps the last portion.
type ranges struct {
	fetch func(off, n int64) ([]byte, error)
	size  int64
	at    int64
	have  []byte
	err   error // of the last fetch
}

// ReadAt implements [io.ReaderAt].
func (r *ranges) ReadAt(b []byte, off int64) (int, error) {
	n := 0
	for n < len(b) {
		if off >= r.size {
			return n, io.EOF
		}
		if off < r.at || off >= r.at+int64(len(r.have)) {
			have, err := r.fetch(off, min(max(portion, int64(len(b)-n)), r.size-off))
			if r.err = err; err != nil {
				return n, err
			}
			r.at, r.have = off, have
		}
		c := copy(b[n:], r.have[off-r.at:])
		n, off = n+c, off+int64(c)
	}
	return n, nil
}
