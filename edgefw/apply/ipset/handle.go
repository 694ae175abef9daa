package ipset

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/edgefw/apply/nfnl"
)

// Handle talks to the kernel.
type Handle struct {
	conn *nfnl.Conn
}

// Open works in the network namespace of the calling thread from now on.
func Open() (*Handle, error) {
	conn, err := nfnl.Dial()
	if err != nil {
		return nil, err
	}
	return &Handle{conn: conn}, nil
}

// Close frees the socket. Sets stay.
func (h *Handle) Close() error { return h.conn.Close() }

// Supported tells, by [ErrUnsupported] or the error of asking, that sets of both
// kinds and families cannot be had here.
func (h *Handle) Supported() error {
	if err := h.conn.Get(request(cmdProtocol, 0), nil); err != nil {
		return unsupported("ipset", err)
	}
	for _, kind := range []Kind{Nets, Addresses} {
		for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
			m := request(cmdType, 0)
			m.PutString(attrTypename, string(kind))
			m.PutByte(attrFamily, family)
			if err := h.conn.Get(m, nil); err != nil {
				return unsupported(string(kind), err)
			}
		}
	}
	return nil
}

func unsupported(what string, err error) error {
	if errors.Is(err, unix.EPERM) {
		return fmt.Errorf("asking the kernel for %s: %w: this needs root (CAP_NET_ADMIN)", what, err)
	}
	return fmt.Errorf("%w: asking for %s: %w", ErrUnsupported, what, explain(err))
}

func request(command uint8, flags uint16) *nfnl.Message {
	m := nfnl.NewMessage(nfnl.IPSet, command, flags, unix.AF_INET, 0)
	m.PutByte(attrProtocol, protocol)
	return m
}

func named(command uint8, flags uint16, name string) *nfnl.Message {
	m := request(command, flags)
	m.PutString(attrSetname, name)
	return m
}
