package protocol

import (
	"errors"
	"fmt"
	"io"
)

// A message is one or more frames: a byte with its kind and two flags, three
// bytes with the length of the payload (big endian), the payload. All frames of
// a message but the last have flagMore.
const (
	frameHello  byte = 1
	frameAck    byte = 2
	frameUpdate byte = 3 // the header of an update
	framePart   byte = 4 // one part of the update before
)

const (
	flagMore byte = 0x80
	flagZstd byte = 0x40
	kindMask byte = 0x3f
)

// MaxFrame bounds the payload of one frame, in bytes, as it is sent and as it
// is unpacked.
const MaxFrame = 256 << 10

// MaxUpdate bounds all parts of one update together, unpacked, in bytes.
const MaxUpdate = 32 << 20

const (
	frameHeader = 4
	// maxPartBody is room for 100,000 prefixes of IPv6 and for many firewalls.
	maxPartBody = 4 << 20
	maxPart     = maxPartBody + 1 + 2 + maxID
	// maxID bounds the name of a set, in bytes.
	maxID = 512
	// maxParts bounds the parts of an update.
	maxParts = 1 << 15
	maxAck   = 8 << 10
	maxHello = 4 << 20
	// maxHeader is that of an update, with the names of sets that are dropped.
	maxHeader = 4 << 20
)

// worthwhile is from how many bytes on a frame is compressed.
const worthwhile = 256

var errFrame = errors.New("edge firewall protocol violated")

func limitOf(kind byte) int {
	switch kind {
	case frameHello:
		return maxHello
	case frameAck:
		return maxAck
	case frameUpdate:
		return maxHeader
	case framePart:
		return maxPart
	}
	return 0
}

// appendMessage appends the frames of a message.
func appendMessage(b []byte, kind byte, payload []byte, zip bool) ([]byte, error) {
	if limit := limitOf(kind); len(payload) > limit {
		return nil, fmt.Errorf("%w: a message of kind %d with %d bytes, at most %d are allowed", errFrame, kind, len(payload), limit)
	}
	for {
		chunk := payload[:min(len(payload), MaxFrame)]
		payload = payload[len(chunk):]
		flags := kind
		if len(payload) > 0 {
			flags |= flagMore
		}
		if packed := pack(chunk, zip); packed != nil {
			chunk, flags = packed, flags|flagZstd
		}
		b = append(b, flags, byte(len(chunk)>>16), byte(len(chunk)>>8), byte(len(chunk)))
		b = append(b, chunk...)
		if len(payload) == 0 {
			return b, nil
		}
	}
}

// Reader reads the messages of the other end.
type Reader struct {
	r      io.Reader
	header [frameHeader]byte
}

// NewReader returns a reader that keeps no memory between messages.
func NewReader(r io.Reader) *Reader { return &Reader{r: r} }

// message reads one message. Its memory grows with what has really come.
func (r *Reader) message() (kind byte, payload []byte, err error) {
	for {
		flags, chunk, err := r.frame(kind)
		if err != nil {
			return 0, nil, err
		}
		kind = flags & kindMask
		if limit := limitOf(kind); len(payload)+len(chunk) > limit {
			return 0, nil, fmt.Errorf("%w: a message of kind %d with more than %d bytes", errFrame, kind, limit)
		}
		if payload == nil {
			payload = chunk
		} else {
			payload = append(payload, chunk...)
		}
		if flags&flagMore == 0 {
			return kind, payload, nil
		}
	}
}

// frame reads one frame; further ones of a message are of its kind.
func (r *Reader) frame(want byte) (flags byte, chunk []byte, err error) {
	if _, err := io.ReadFull(r.r, r.header[:]); err != nil {
		return 0, nil, err
	}
	flags = r.header[0]
	kind, length := flags&kindMask, int(r.header[1])<<16|int(r.header[2])<<8|int(r.header[3])
	switch {
	case limitOf(kind) == 0, want != 0 && want != kind:
		return 0, nil, fmt.Errorf("%w: a frame of kind %d", errFrame, kind)
	case length > min(MaxFrame, limitOf(kind)):
		return 0, nil, fmt.Errorf("%w: a frame of kind %d with %d bytes", errFrame, kind, length)
	case length == 0 && flags&flagMore != 0:
		return 0, nil, fmt.Errorf("%w: an empty frame with more behind it", errFrame)
	}
	chunk = make([]byte, length)
	if _, err := io.ReadFull(r.r, chunk); err != nil {
		return 0, nil, err
	}
	if flags&flagZstd != 0 {
		chunk, err = unpack(chunk)
	}
	return flags, chunk, err
}
