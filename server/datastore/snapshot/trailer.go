package snapshot

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The trailer is a skippable frame of zstd (RFC 8878, section 3.1.2): magic
// number and length, both little-endian as all of zstd, then our mark, the length
// of everything before the trailer, and its SHA-256.
const (
	trailerMagic   = 0x184D2A5E
	trailerMark    = "kedge\x00s1"
	trailerPayload = len(trailerMark) + 8 + sha256.Size
	trailerBytes   = 8 + trailerPayload
)

// trailer ends a snapshot.
type trailer struct {
	size int64 // of what stands before it
	sum  [sha256.Size]byte
}

func (t trailer) bytes() []byte {
	out := binary.LittleEndian.AppendUint32(nil, trailerMagic)
	out = binary.LittleEndian.AppendUint32(out, uint32(trailerPayload))
	out = append(out, trailerMark...)
	out = binary.LittleEndian.AppendUint64(out, uint64(t.size)) //nolint:gosec // never below zero
	return append(out, t.sum[:]...)
}

// readTrailer finds the trailer of a file of size bytes.
func readTrailer(r io.ReaderAt, size int64) (trailer, error) {
	var t trailer
	if size <= int64(trailerBytes) {
		return t, fmt.Errorf("%w: it has %d bytes", ErrDamaged, size)
	}
	raw := make([]byte, trailerBytes)
	if _, err := r.ReadAt(raw, size-int64(trailerBytes)); err != nil && !errors.Is(err, io.EOF) {
		return t, fmt.Errorf("read the end of the snapshot: %w", err)
	}
	t.size = size - int64(trailerBytes)
	copy(t.sum[:], raw[trailerBytes-sha256.Size:])
	if !bytes.Equal(raw, t.bytes()) {
		return t, fmt.Errorf("%w: its end is missing, or it is no snapshot", ErrDamaged)
	}
	return t, nil
}

// verify reads all that stands before the trailer.
func (t trailer) verify(ctx context.Context, r io.ReaderAt) error {
	sum := sha256.New()
	if _, err := io.Copy(sum, untilDone{ctx, io.NewSectionReader(r, 0, t.size)}); err != nil {
		return fmt.Errorf("read snapshot: %w", err)
	}
	if !bytes.Equal(sum.Sum(nil), t.sum[:]) {
		return fmt.Errorf("%w: its content was changed", ErrDamaged)
	}
	return nil
}
