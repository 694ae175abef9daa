package transport

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/kedge-io/kedge/tunnel"
)

// This file is what the user of a stream sees: net.Conn and half close.

// Read implements net.Conn.
func (st *stream) Read(b []byte) (int, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for {
		switch {
		case st.closed:
			return 0, net.ErrClosed
		case st.rdl.Expired():
			return 0, os.ErrDeadlineExceeded
		case len(b) == 0:
			return 0, nil
		case st.in.Len() > 0:
			n, _ := st.in.Read(b)
			st.session.unread.Add(-int64(n))
			st.consume(n)
			return n, nil
		}
		if err := st.readEnd(); err != nil {
			return 0, err
		}
		st.readers.Wait()
	}
}

// readEnd tells why no more data comes, or nil. It is called with mu held.
func (st *stream) readEnd() error {
	switch {
	case st.finIn:
		return io.EOF
	case st.ended != nil && st.ended.Code == tunnel.EndNormal:
		return io.EOF
	case st.ended != nil:
		return fmt.Errorf("tunnel stream %s: %s: %w", st.target, st.ended.Text, syscall.ECONNRESET)
	}
	return st.failure
}

// consume accounts for n bytes that the user read; called with mu held.
func (st *stream) consume(n int) {
	if st.in.Len() == 0 && st.in.Cap() > Window/4 {
		st.in = bytes.Buffer{}
	}
	st.consumed += n
	// Half a window at a time keeps the sender busy and credits rare.
	if st.consumed >= Window/2 && !st.finIn && st.ended == nil {
		st.pending.credit += st.consumed
		st.consumed = 0
		st.queueLocked()
	}
}

// Write implements net.Conn. A write deadline ends the wait for the other
// end's reader; a write that waits for a busy link ends with the session.
func (st *stream) Write(b []byte) (int, error) {
	written := 0
	for written < len(b) {
		n, err := st.reserve(min(len(b)-written, maxData))
		if err != nil {
			return written, err
		}
		if err := st.writeData(b[written : written+n]); err != nil {
			return written, err
		}
		written += n
	}
	return written, nil
}

// reserve waits until 1 to want bytes may be sent and takes them.
func (st *stream) reserve(want int) (int, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for {
		switch {
		case st.closed || st.finOut:
			return 0, net.ErrClosed
		case st.wdl.Expired():
			return 0, os.ErrDeadlineExceeded
		case st.ended != nil:
			return 0, fmt.Errorf("tunnel stream %s: the other end closed: %w", st.target, syscall.EPIPE)
		case st.failure != nil:
			return 0, st.failure
		case st.credit > 0:
			n := min(want, st.credit)
			st.credit -= n
			return n, nil
		}
		st.writers.Wait()
	}
}

func (st *stream) writeData(p []byte) error {
	buf := frames.Get().(*[]byte)
	defer frames.Put(buf)
	frame := append(appendHeader((*buf)[:0], frameData, len(p)), p...)
	st.wmu.Lock()
	defer st.wmu.Unlock()
	if st.rawDone {
		return st.outError()
	}
	if _, err := st.raw.Write(frame); err != nil {
		return fmt.Errorf("tunnel stream %s: %w", st.target, st.session.reason(err))
	}
	return nil
}

func (st *stream) outError() error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.failure != nil {
		return st.failure
	}
	return net.ErrClosed
}

// CloseWrite tells the other end that no more data follows; reading goes on.
func (st *stream) CloseWrite() error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.closed || st.finOut || st.failure != nil || st.ended != nil {
		return nil
	}
	st.finOut, st.pending.fin = true, true
	st.queueLocked()
	st.writers.Broadcast()
	return nil
}

// Close implements net.Conn. What was written before is still delivered.
func (st *stream) Close() error { st.closeWith(tunnel.Ending{Code: tunnel.EndNormal}); return nil }

func (st *stream) closeWith(e tunnel.Ending) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.closed {
		return
	}
	st.closed = true
	st.cancel()
	st.session.unread.Add(-int64(st.in.Len()))
	st.in = bytes.Buffer{}
	st.rdl.Stop()
	st.wdl.Stop()
	st.endLocked(e)
	st.readers.Broadcast()
	st.writers.Broadcast()
}

// LocalAddr names the link, which has no address of its own.
func (st *stream) LocalAddr() net.Addr { return addr{"kedge", st.session.name} }

// RemoteAddr is the target as it was asked for.
func (st *stream) RemoteAddr() net.Addr { return addr{st.target.Network, st.target.Address} }

// SetDeadline implements net.Conn.
func (st *stream) SetDeadline(t time.Time) error {
	_ = st.SetReadDeadline(t)
	return st.SetWriteDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (st *stream) SetReadDeadline(t time.Time) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.closed {
		return net.ErrClosed
	}
	st.rdl.Set(t, &st.mu, st.readers.Broadcast)
	return nil
}

// SetWriteDeadline implements net.Conn.
func (st *stream) SetWriteDeadline(t time.Time) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.closed {
		return net.ErrClosed
	}
	st.wdl.Set(t, &st.mu, st.writers.Broadcast)
	return nil
}

type addr struct{ network, text string }

func (a addr) Network() string { return a.network }
func (a addr) String() string  { return a.text }
