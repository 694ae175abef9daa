package transport

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/kedge-io/kedge/tunnel"
)

// A stream is a sequence of frames: one byte of type, two bytes of payload
// length (big endian), the payload.
const (
	// frameOpened answers a dial with yes. No payload.
	frameOpened byte = 1
	// frameData has 1 to maxData bytes of the stream.
	frameData byte = 2
	// frameCredit allows the other end four bytes' worth (big endian) more.
	frameCredit byte = 3
	// frameFin says that no more data follows. No payload.
	frameFin byte = 4
	// frameEnd is the last frame of an end: a reason code and a text. Before
	// frameOpened it refuses the dial.
	frameEnd byte = 5
)

const (
	frameHeader = 3
	// maxData keeps what a ping waits for short on a thin line: 16 KiB take
	// 0.13 s at 1 Mbit/s.
	maxData = 16 << 10
	// maxReason bounds the text of frameEnd, in bytes.
	maxReason = 512
	// Window is how many unread bytes one end of a stream holds at most. It
	// must stay below remotedialer's own limit of 2 MiB.
	Window = 256 << 10
)

var errProtocol = errors.New("tunnel stream protocol violated")

func appendHeader(b []byte, kind byte, length int) []byte {
	return binary.BigEndian.AppendUint16(append(b, kind), uint16(length))
}

func appendCredit(b []byte, n int) []byte {
	return binary.BigEndian.AppendUint32(appendHeader(b, frameCredit, 4), uint32(n))
}

func appendEnd(b []byte, e tunnel.Ending) []byte {
	return e.Append(appendHeader(b, frameEnd, e.Size(maxReason)), maxReason)
}

// readFrame reads one frame into buf, which holds maxData bytes, and returns
// its type and payload. The payload is valid until the next call.
func readFrame(r io.Reader, buf []byte) (byte, []byte, error) {
	header := buf[:frameHeader]
	if _, err := io.ReadFull(r, header); err != nil {
		return 0, nil, err
	}
	kind, length := header[0], int(binary.BigEndian.Uint16(header[1:]))
	if err := checkLength(kind, length); err != nil {
		return 0, nil, err
	}
	payload := buf[:length]
	if _, err := io.ReadFull(r, payload); err != nil {
		return 0, nil, fmt.Errorf("read frame of type %d: %w", kind, err)
	}
	return kind, payload, nil
}

func checkLength(kind byte, n int) error {
	ok := false
	switch kind {
	case frameOpened, frameFin:
		ok = n == 0
	case frameData:
		ok = n >= 1 && n <= maxData
	case frameCredit:
		ok = n == 4
	case frameEnd:
		ok = n >= 1 && n <= 1+maxReason
	}
	if !ok {
		return fmt.Errorf("%w: frame of type %d with %d bytes", errProtocol, kind, n)
	}
	return nil
}
