package mux

import (
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/kedge-io/kedge/internal/deadline"
	"github.com/kedge-io/kedge/tunnel"
)

// This file is what the user of a stream sees: net.Conn and half close.

// Read implements net.Conn.
func (st *stream) Read(b []byte) (int, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if len(b) == 0 {
		return 0, nil
	}
	if err := st.waitData(); err != nil {
		return 0, err
	}
	n := st.in.read(b)
	st.consume(n)
	return n, nil
}

// waitData waits until there is something to read; called with mu held.
func (st *stream) waitData() error {
	for {
		switch {
		case st.closed:
			return net.ErrClosed
		case st.rdl.Expired():
			return os.ErrDeadlineExceeded
		case st.in.size > 0:
			return nil
		}
		if err := st.readEnd(); err != nil {
			return err
		}
		st.readers.Wait()
	}
}

// readEnd tells why no more data comes, or nil.
func (st *stream) readEnd() error {
	switch {
	case st.finIn:
		return io.EOF
	case st.ended != nil && st.ended.Code == tunnel.EndNormal:
		return io.EOF
	case st.ended != nil:
		return st.errorf("%s: %w", printable([]byte(st.ended.Text)), syscall.ECONNRESET)
	}
	return st.failure
}

// WriteTo implements io.WriterTo. Data goes to w from where it was received.
func (st *stream) WriteTo(w io.Writer) (int64, error) {
	var total int64
	for {
		c, err := st.next()
		if err != nil {
			if err == io.EOF {
				err = nil
			}
			return total, err
		}
		n, err := w.Write(c.unread())
		size := c.end - c.off
		c.free()
		total += int64(n)
		st.mu.Lock()
		// What w did not take is lost, as with every copy.
		st.consume(size)
		st.mu.Unlock()
		if err != nil {
			return total, err
		}
	}
}

func (st *stream) next() (*chunk, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if err := st.waitData(); err != nil {
		return nil, err
	}
	return st.in.pop(), nil
}

// CloseWrite tells the other end that no more data follows; reading goes on.
func (st *stream) CloseWrite() error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.closed || st.finOut || st.failure != nil || st.ended != nil {
		return nil
	}
	st.finOut, st.oweFin = true, true
	st.settle()
	st.writers.Broadcast()
	return nil
}

// Close implements net.Conn. What was written before is still delivered.
func (st *stream) Close() error {
	st.closeWith(tunnel.Ending{Code: tunnel.EndNormal})
	return nil
}

func (st *stream) closeWith(e tunnel.Ending) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.closed {
		return
	}
	st.closed = true
	st.cancel()
	st.in.clear()
	st.dropHeld()
	st.promise(0)
	st.rdl.Stop()
	st.wdl.Stop()
	st.end(e)
	st.readers.Broadcast()
	st.wakeWriters()
	st.leaveTable()
}

// LocalAddr names the link, which has no address of its own.
func (st *stream) LocalAddr() net.Addr { return addr{"kedge", "link"} }

// RemoteAddr is the target as it was asked for.
func (st *stream) RemoteAddr() net.Addr { return addr{st.target.Network, st.target.Address} }

// SetDeadline implements net.Conn.
func (st *stream) SetDeadline(t time.Time) error {
	if err := st.SetReadDeadline(t); err != nil {
		return err
	}
	return st.SetWriteDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (st *stream) SetReadDeadline(t time.Time) error {
	return st.setDeadline(&st.rdl, t, st.readers.Broadcast)
}

// SetWriteDeadline implements net.Conn.
func (st *stream) SetWriteDeadline(t time.Time) error {
	return st.setDeadline(&st.wdl, t, st.wakeWriters)
}

func (st *stream) setDeadline(d *deadline.Deadline, t time.Time, wake func()) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.closed {
		return net.ErrClosed
	}
	d.Set(t, &st.mu, wake)
	return nil
}

type addr struct{ network, text string }

func (a addr) Network() string { return a.network }
func (a addr) String() string  { return a.text }
