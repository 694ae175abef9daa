package mux

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/kedge-io/kedge/tunnel"
)

// read takes frames until the lane ends. It never waits for anything but the
// connection.
func (l *Lane) read() error {
	if err := l.readHello(); err != nil {
		return err
	}
	for {
		h, err := l.readHeader()
		if err == nil {
			err = l.take(h)
		}
		if err != nil {
			return err
		}
	}
}

func (l *Lane) readHeader() (header, error) {
	b, err := l.in.Peek(headerSize)
	if err != nil {
		if len(b) > 0 && errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return header{}, l.readError(err)
	}
	h := parseHeader(b)
	_, _ = l.in.Discard(headerSize)
	return h, h.check(l.class)
}

// readHello takes the initiator's first frame on the lane.
func (l *Lane) readHello() error {
	if l.session.initiator {
		return nil
	}
	h, err := l.readHeader()
	if err != nil {
		return err
	}
	if h.kind != kindHello {
		return fmt.Errorf("%w: lane begins with a frame of kind %#x", ErrProtocol, byte(h.kind))
	}
	return l.small(h, func(p []byte) error {
		switch {
		case p[0] != protocolVersion:
			return fmt.Errorf("%w: the other end speaks version %d of it, this one %d", ErrProtocol, p[0], protocolVersion)
		case p[1] != classCodes[l.class] || int(p[2]) != l.index:
			return fmt.Errorf("%w: lane %s says that it is class %d, index %d", ErrProtocol, l, p[1], p[2])
		}
		return l.session.ready(l, h.id)
	})
}

// take handles one frame.
func (l *Lane) take(h header) error {
	switch {
	case h.kind.future(), l.closing.Load() != nil && h.kind != kindClose:
		return l.discard(h.length)
	case h.kind == kindData:
		return l.takeData(h)
	case h.kind == kindPacket:
		return l.takePacket(h.length)
	case forms[h.kind].stream:
		return l.small(h, func(p []byte) error { return l.session.takeFrame(l, h, p) })
	}
	return l.small(h, func(p []byte) error { return l.takeOwn(h, p) })
}

// takeOwn handles a frame about the lane itself.
func (l *Lane) takeOwn(h header, p []byte) error {
	switch h.kind {
	case kindPing:
		l.pinged(parsePing(p))
	case kindPong:
		l.ponged(parsePong(p))
	case kindRetire:
		l.retired()
	case kindClose:
		if l.retiring.Load() && l.peerRetired.Load() {
			return ErrRetired // either end may see first that it is free
		}
		return fmt.Errorf("closed by the other end: %s", printable(p))
	default:
		return fmt.Errorf("%w: frame of kind %#x in the middle of a lane", ErrProtocol, byte(h.kind))
	}
	return nil
}

// retired answers the other end's wish to take the lane out of use.
func (l *Lane) retired() {
	if !l.peerRetired.Swap(true) && l.retire() {
		_ = l.post(false, appendHeader(nil, kindRetire, 0, 0))
	}
}

// small gives the payload of a frame of at most readBuffer bytes to use.
func (l *Lane) small(h header, use func(p []byte) error) error {
	p, err := l.in.Peek(h.length)
	if err != nil {
		return l.readError(unexpected(err))
	}
	if err := use(p); err != nil {
		return err
	}
	_, _ = l.in.Discard(h.length)
	return nil
}

func (l *Lane) discard(n int) error {
	_, err := l.in.Discard(n)
	return l.readError(unexpected(err))
}

func (l *Lane) readFull(b []byte) error {
	_, err := io.ReadFull(l.in, b)
	return l.readError(unexpected(err))
}

func (l *Lane) readError(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("read: %w", err)
}

// unexpected is for ends in the middle of a frame.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// takeData reads data into the memory where it stays until it is consumed.
func (l *Lane) takeData(h header) error {
	st, err := l.session.stream(h)
	if err != nil {
		return err
	}
	l.used.Store(true)
	if st == nil {
		return l.discard(h.length)
	}
	if h.length <= readBuffer {
		return l.small(h, func(p []byte) error { return st.takeData(l, p, nil) })
	}
	c := newChunk(h.length)
	if err := l.readFull(c.buf[:h.length]); err != nil {
		c.free()
		return err
	}
	c.end = h.length
	return st.takeData(l, nil, c)
}

// stream finds the stream of a frame; nil if the frame is to be ignored as it
// crossed the stream's end.
func (s *Session) stream(h header) (*stream, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st := s.table.streams[h.id]; st != nil {
		return st, nil
	}
	late := false
	switch h.kind {
	case kindData, kindFin, kindMove:
		late = s.table.aborted.has(h.id)
	default:
		late = s.table.was(h.id)
	}
	if !late && s.err == nil {
		return nil, fmt.Errorf("%w: frame of kind %#x for stream %d, which is not open", ErrProtocol, byte(h.kind), h.id)
	}
	return nil, nil
}

// takeFrame handles every other frame of a stream.
func (s *Session) takeFrame(l *Lane, h header, p []byte) error {
	if h.kind == kindOpen {
		return s.takeOpen(l, h.id, p)
	}
	st, err := s.stream(h)
	if st == nil || err != nil {
		return err
	}
	switch h.kind {
	case kindOpened:
		return st.takeOpened(parseWindow(p))
	case kindRefused:
		return st.takeRefused(tunnel.ParseEnding(p))
	case kindCredit:
		return st.takeCredit(binary.BigEndian.Uint64(p))
	case kindAbort:
		st.takeAbort(tunnel.ParseEnding(p))
	case kindFin:
		return st.take(l, frame{kind: kindFin})
	case kindEnd:
		return st.take(l, frame{kind: kindEnd, ending: tunnel.ParseEnding(p)})
	case kindMove:
		return st.take(l, frame{kind: kindMove, instance: binary.BigEndian.Uint32(p)})
	}
	return nil
}

// takeOpen starts a stream of the other end.
func (s *Session) takeOpen(l *Lane, id uint32, p []byte) error {
	window, text := parseWindow(p), string(p[windowSize:])
	network, address, ok := strings.Cut(text, "/")
	target := tunnel.Target{Network: network, Address: address}
	if !ok || target.Validate() != nil || window > maxCredit {
		return fmt.Errorf("%w: open of %.64q with a window of %d", ErrProtocol, text, window)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.table.number(id); err != nil || s.err != nil {
		return err
	}
	if err := s.table.admit(target); err != nil {
		_ = l.post(true, appendEnding(nil, kindRefused, id, tunnel.EndingOf(err)))
		return nil
	}
	st := newStream(s, target, l)
	st.incoming = true
	st.id, st.credit = id, uint64(window)
	s.table.streams[id] = st
	s.table.open++
	s.wg.Go(st.serve)
	return nil
}

// printable is text of the other end for logs and errors.
func printable(p []byte) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, string(p))
}
