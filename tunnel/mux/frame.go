package mux

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/kedge-io/kedge/tunnel"
)

// ErrProtocol is wrapped by the errors of lanes that ended because the other
// end sent what no end sends.
var ErrProtocol = errors.New("tunnel protocol violated")

// protocolVersion is in each lane's hello. Ends that do not share it do not
// attach lanes; see the capabilities of tunnel/transport.
const protocolVersion = 1

// kind is the first byte of a frame. doc.go has the table.
type kind byte

const (
	kindHello  kind = 0x01
	kindPing   kind = 0x02
	kindPong   kind = 0x03
	kindRetire kind = 0x04
	kindClose  kind = 0x05

	kindOpen    kind = 0x10
	kindOpened  kind = 0x11
	kindRefused kind = 0x12
	kindData    kind = 0x13
	kindCredit  kind = 0x14
	kindFin     kind = 0x15
	kindEnd     kind = 0x16
	kindAbort   kind = 0x17
	kindMove    kind = 0x18

	kindPacket kind = 0x20

	// Frames of these kinds may be sent by a later version without asking, so
	// they must be safe to leave out.
	kindFutureFirst kind = 0x40
	kindFutureLast  kind = 0x7f
)

// Sizes of frames, in bytes.
const (
	headerSize = 8
	// maxData fills four TLS records together with its header and that of a
	// websocket message.
	maxData = 64<<10 - 32
	// maxInteractiveData fills one TLS record. It bounds what a small frame
	// waits for: 0.13 s at 1 Mbit/s.
	maxInteractiveData = 16<<10 - 32
	// maxPacket is the largest IP packet and the header of a network device.
	maxPacket = 64<<10 + 32
	// maxReason bounds the texts of refused, end, abort and close.
	maxReason = 512
	// maxTarget bounds network and address in open.
	maxTarget = 255
	// maxHello leaves room for what later versions add.
	maxHello  = 64
	maxFuture = maxData
)

const (
	helloSize  = 3
	pingSize   = 20
	pongSize   = 16
	windowSize = 4
	creditSize = 8
	moveSize   = 4
)

// header is what every frame begins with: kind (1 byte), length of the payload
// (3), id of the stream or, in hello, of the lane (4); big endian.
type header struct {
	kind   kind
	length int
	id     uint32
}

func parseHeader(b []byte) header {
	word := binary.BigEndian.Uint32(b)
	return header{kind(word >> 24), int(word & 0xffffff), binary.BigEndian.Uint32(b[4:])}
}

func putHeader(b []byte, k kind, id uint32, length int) {
	binary.BigEndian.PutUint32(b, uint32(k)<<24|uint32(length))
	binary.BigEndian.PutUint32(b[4:], id)
}

func appendHeader(b []byte, k kind, id uint32, length int) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(k)<<24|uint32(length))
	return binary.BigEndian.AppendUint32(b, id)
}

// form is what a kind of frame must look like.
type form struct {
	min, max int
	// stream: the id names a stream. Otherwise it is 0, but in hello.
	stream bool
	// where the frame may come.
	onStreams, onRelay bool
}

var forms = map[kind]form{
	kindHello:   {min: helloSize, max: maxHello, onStreams: true, onRelay: true},
	kindPing:    {min: pingSize, max: pingSize, onStreams: true, onRelay: true},
	kindPong:    {min: pongSize, max: pongSize, onStreams: true, onRelay: true},
	kindRetire:  {onStreams: true, onRelay: true},
	kindClose:   {max: maxReason, onStreams: true, onRelay: true},
	kindOpen:    {min: windowSize + 3, max: windowSize + maxTarget, stream: true, onStreams: true},
	kindOpened:  {min: windowSize, max: windowSize, stream: true, onStreams: true},
	kindRefused: {min: 1, max: 1 + maxReason, stream: true, onStreams: true},
	kindData:    {min: 1, max: maxData, stream: true, onStreams: true},
	kindCredit:  {min: creditSize, max: creditSize, stream: true, onStreams: true},
	kindFin:     {stream: true, onStreams: true},
	kindEnd:     {min: 1, max: 1 + maxReason, stream: true, onStreams: true},
	kindAbort:   {min: 1, max: 1 + maxReason, stream: true, onStreams: true},
	kindMove:    {min: moveSize, max: moveSize, stream: true, onStreams: true},
	kindPacket:  {min: 1, max: maxPacket, onRelay: true},
}

func (k kind) future() bool { return k >= kindFutureFirst && k <= kindFutureLast }

// dataLimit is the largest payload of data on a lane of this class.
func dataLimit(class tunnel.Lane) int {
	if class == tunnel.LaneInteractive {
		return maxInteractiveData
	}
	return maxData
}

// check tells whether a frame of this header may come on a lane of the class.
func (h header) check(class tunnel.Lane) error {
	if h.kind.future() && h.length <= maxFuture {
		return nil
	}
	f, ok := forms[h.kind]
	switch {
	case !ok:
		return fmt.Errorf("%w: frame of unknown kind %#x", ErrProtocol, byte(h.kind))
	case h.length < f.min || h.length > f.max,
		h.kind == kindData && h.length > dataLimit(class):
		return fmt.Errorf("%w: frame of kind %#x with %d bytes", ErrProtocol, byte(h.kind), h.length)
	case class == tunnel.LaneRelay && !f.onRelay, class != tunnel.LaneRelay && !f.onStreams:
		return fmt.Errorf("%w: frame of kind %#x on a lane of class %s", ErrProtocol, byte(h.kind), class)
	case f.stream != (h.id != 0) && h.kind != kindHello:
		return fmt.Errorf("%w: frame of kind %#x with id %d", ErrProtocol, byte(h.kind), h.id)
	}
	return nil
}

// Codes of classes in hello; stable on the wire.
var classCodes = map[tunnel.Lane]byte{
	tunnel.LaneInteractive: 1,
	tunnel.LaneBulk:        2,
	tunnel.LaneRelay:       3,
}

func appendHello(b []byte, instance uint32, class tunnel.Lane, index int) []byte {
	return append(appendHeader(b, kindHello, instance, helloSize), protocolVersion, classCodes[class], byte(index))
}

// ping asks for a pong. The times are the sender's own, in nanoseconds.
type ping struct {
	// stamp comes back in the pong.
	stamp uint64
	// echo is the stamp of the latest pong, 0 if there was none, and held how
	// many microseconds ago that came: the other end measures by it.
	echo uint64
	held uint32
}

func appendPing(b []byte, p ping) []byte {
	b = appendHeader(b, kindPing, 0, pingSize)
	b = binary.BigEndian.AppendUint64(b, p.stamp)
	b = binary.BigEndian.AppendUint64(b, p.echo)
	return binary.BigEndian.AppendUint32(b, p.held)
}

func parsePing(p []byte) ping {
	return ping{binary.BigEndian.Uint64(p), binary.BigEndian.Uint64(p[8:]), binary.BigEndian.Uint32(p[16:])}
}

// pong answers a ping: the ping's stamp and one of its own.
type pong struct{ echo, stamp uint64 }

func appendPong(b []byte, p pong) []byte {
	b = appendHeader(b, kindPong, 0, pongSize)
	b = binary.BigEndian.AppendUint64(b, p.echo)
	return binary.BigEndian.AppendUint64(b, p.stamp)
}

func parsePong(p []byte) pong {
	return pong{binary.BigEndian.Uint64(p), binary.BigEndian.Uint64(p[8:])}
}

// parseWindow reads the window of open and opened. What is beyond maxCredit
// comes out as just that, on machines whose int is too small for it as well.
func parseWindow(p []byte) int { return int(min(binary.BigEndian.Uint32(p), maxCredit+1)) }

func appendOpen(b []byte, id uint32, window int, t tunnel.Target) []byte {
	text := t.String()
	b = appendHeader(b, kindOpen, id, windowSize+len(text))
	return append(binary.BigEndian.AppendUint32(b, uint32(window)), text...)
}

func appendOpened(b []byte, id uint32, window int) []byte {
	return binary.BigEndian.AppendUint32(appendHeader(b, kindOpened, id, windowSize), uint32(window))
}

func appendCredit(b []byte, id uint32, limit uint64) []byte {
	return binary.BigEndian.AppendUint64(appendHeader(b, kindCredit, id, creditSize), limit)
}

func appendMove(b []byte, id, instance uint32) []byte {
	return binary.BigEndian.AppendUint32(appendHeader(b, kindMove, id, moveSize), instance)
}

func appendClose(b []byte, text string) []byte {
	text = text[:min(len(text), maxReason)]
	return append(appendHeader(b, kindClose, 0, len(text)), text...)
}
