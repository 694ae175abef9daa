package protocol

import (
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// codec has one encoder and one decoder for the whole process: each holds
// tables of some hundred kB, and they are made when they are first used. Both
// may be used from any goroutine.
type codec struct {
	encoder func() (*zstd.Encoder, error)
	decoder func() (*zstd.Decoder, error)
}

var shared = codec{
	encoder: sync.OnceValues(func() (*zstd.Encoder, error) {
		return zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(MaxFrame), zstd.WithEncoderCRC(false))
	}),
	decoder: sync.OnceValues(func() (*zstd.Decoder, error) {
		return zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxMemory(MaxFrame), zstd.WithDecoderMaxWindow(MaxFrame))
	}),
}

// pack returns nil where compressing is not asked for or not worth it.
func pack(chunk []byte, zip bool) []byte {
	if !zip || len(chunk) < worthwhile {
		return nil
	}
	encoder, err := shared.encoder()
	if err != nil {
		return nil
	}
	if packed := encoder.EncodeAll(chunk, nil); len(packed) < len(chunk) {
		return packed
	}
	return nil
}

func unpack(packed []byte) ([]byte, error) {
	decoder, err := shared.decoder()
	if err != nil {
		return nil, err
	}
	chunk, err := decoder.DecodeAll(packed, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: unpack a frame: %w", errFrame, err)
	}
	if len(chunk) == 0 || len(chunk) > MaxFrame {
		return nil, fmt.Errorf("%w: a frame of %d bytes", errFrame, len(chunk))
	}
	return chunk, nil
}
