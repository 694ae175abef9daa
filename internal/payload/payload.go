package payload

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"
)

// maxWindow bounds the memory that unpacking takes, in bytes: what release
// files are packed with, and far less than an edge node has.
const maxWindow = 32 << 20

// Payload is the program in a release file.
type Payload struct {
	Trailer
	file *os.File
	at   int64
}

// Open finds the payload of the release file at path. Errors: [ErrNone],
// [ErrDamaged], those of the file system.
func Open(path string) (*Payload, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	p, err := read(file)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read %s: %w", path, err), file.Close())
	}
	return p, nil
}

func read(file *os.File) (*Payload, error) {
	st, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if st.Size() < trailerSize {
		return nil, ErrNone
	}
	data := make([]byte, trailerSize)
	if _, err := file.ReadAt(data, st.Size()-trailerSize); err != nil {
		return nil, err
	}
	t, err := decode(data, st.Size())
	if err != nil {
		return nil, err
	}
	return &Payload{Trailer: t, file: file, at: st.Size() - trailerSize - t.Packed}, nil
}

// Close closes the release file.
func (p *Payload) Close() error { return p.file.Close() }

// Unpack writes the program to w and holds it against the trailer: after an
// error, w has got something else. Errors: [ErrDamaged], the end of ctx, those
// of w.
func (p *Payload) Unpack(ctx context.Context, w io.Writer) error {
	packed := io.NewSectionReader(p.file, p.at, p.Packed)
	// One goroutine and small buffers: this runs once per version, on machines
	// where memory is short.
	plain, err := zstd.NewReader(packed, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return err
	}
	defer plain.Close()
	hash := sha256.New()
	// One byte more than there should be, so that a longer program is noticed.
	n, err := copyAll(ctx, io.MultiWriter(w, hash), io.LimitReader(plain, p.Size+1))
	if err != nil {
		return err
	}
	if sum := [32]byte(hash.Sum(nil)); n != p.Size || sum != p.SHA256 {
		return fmt.Errorf("%w: the program in it has %d bytes and the SHA-256 %x instead of %d and %x", ErrDamaged, n, sum, p.Size, p.SHA256)
	}
	return nil
}

// copyAll copies r to w until its end or that of ctx. Only failures of w keep
// their meaning: what cannot be read or decoded is damaged.
func copyAll(ctx context.Context, w io.Writer, r io.Reader) (int64, error) {
	var n int64
	buf := make([]byte, 256<<10)
	for {
		if err := ctx.Err(); err != nil {
			return n, context.Cause(ctx)
		}
		k, readErr := r.Read(buf)
		if _, err := w.Write(buf[:k]); err != nil {
			return n, err
		}
		n += int64(k)
		if errors.Is(readErr, io.EOF) {
			return n, nil
		}
		if readErr != nil {
			return n, fmt.Errorf("%w: unpack: %w", ErrDamaged, readErr)
		}
	}
}
