package conntrack

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/edgefw/apply/nfnl"
)

const (
	cmdGet    = 1
	cmdDelete = 2

	nested = 1 << 15
)

// ErrGone tells that a flow was over before it could be deleted.
var ErrGone = errors.New("the flow is over")

// Table is the table of flows of one network namespace. Several goroutines can
// use it.
type Table struct {
	conn *nfnl.Conn
}

// Open works in the network namespace of the calling thread from now on.
func Open() (*Table, error) {
	conn, err := nfnl.Dial()
	if err != nil {
		return nil, err
	}
	return &Table{conn: conn}, nil
}

// Close frees the socket. Flows go on.
func (t *Table) Close() error { return t.conn.Close() }

// Flows lists all flows of both families. Those that begin or end meanwhile may be
// missing, or be there though they are over.
func (t *Table) Flows() ([]Flow, error) {
	var flows []Flow
	m := nfnl.NewMessage(nfnl.Conntrack, cmdGet, 0, unix.AF_UNSPEC, 0)
	err := t.conn.Dump(m, func(h nfnl.Header, body []byte) error {
		if f, ok := parse(h, body); ok {
			flows = append(flows, f)
		}
		return nil
	})
	if err != nil && !errors.Is(err, nfnl.ErrInterrupted) {
		return nil, fmt.Errorf("listing flows: %w", err)
	}
	return flows, nil
}

// Delete makes the kernel forget a flow that Flows returned: its next packet
// begins a new one. [ErrGone] tells that it has forgotten it already; another flow
// with the same addresses and ports is not touched.
func (t *Table) Delete(f Flow) error {
	m := nfnl.NewMessage(nfnl.Conntrack, cmdDelete, 0, f.family, 0)
	m.Put(attrOriginal|nested, f.original)
	if f.zone != nil {
		m.Put(attrZone, f.zone)
	}
	if f.id != nil {
		m.Put(attrID, f.id)
	}
	err := t.conn.Do(m)
	switch {
	case errors.Is(err, unix.ENOENT):
		return ErrGone
	case err != nil:
		return fmt.Errorf("deleting the flow %s -> %s: %w", f.From, f.To, err)
	}
	return nil
}
