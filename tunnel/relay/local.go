package relay

import (
	"sync/atomic"

	"github.com/kedge-io/kedge/tunnel"
)

// Local is the way of a node that stands beside the switch in one process. It
// has no queue: what it is handed goes straight to the receiver, which is a
// write to the node's device.
type Local struct {
	sw       *Switch
	node     tunnel.NodeName
	receiver atomic.Pointer[func(p []byte)]
}

// NewLocal attaches a local node to a switch.
func NewLocal(sw *Switch, node tunnel.NodeName) *Local {
	l := &Local{sw: sw, node: node}
	sw.Attach(node, port{l})
	return l
}

// Send hands a packet of the node to the switch. It tells nothing about what
// became of it.
func (l *Local) Send(p []byte) bool {
	l.sw.From(l.node, p)
	return true
}

// SetReceiver tells where packets for the node go; nil drops them. The receiver
// must not block and must not keep p.
func (l *Local) SetReceiver(receive func(p []byte)) {
	if receive == nil {
		l.receiver.Store(nil)
		return
	}
	l.receiver.Store(&receive)
}

// port is the switch's side of a local node.
type port struct{ *Local }

func (p port) Send(b []byte) bool {
	receive := p.receiver.Load()
	if receive == nil {
		return false
	}
	(*receive)(b)
	return true
}
