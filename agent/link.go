package agent

import (
	"sync/atomic"

	"github.com/kedge-io/kedge/agent/network"
	"github.com/kedge-io/kedge/agent/relay"
	"github.com/kedge-io/kedge/tunnel/spoke"
)

// relay is what carries packets between pods of this node and of other sites.
func (a *Agent) relay() *relay.Relay {
	var link relay.Link = &a.way
	if a.cfg.Relay != nil {
		link = a.cfg.Relay
	}
	return relay.New(relay.Config{
		Link: link, Device: network.RelayName, Bridge: network.BridgeName, Report: a.reporter(relay.Name),
	}, a.log)
}

// way joins the relay of pod packets and the spoke.
type way struct {
	spoke    atomic.Pointer[spoke.Spoke]
	receiver atomic.Pointer[func(p []byte)]
}

// Send hands a packet to the link; false while there is none.
func (w *way) Send(p []byte) bool {
	s := w.spoke.Load()
	return s != nil && s.SendPacket(p)
}

// SetReceiver says who takes the packets of the link.
func (w *way) SetReceiver(receive func(p []byte)) {
	if receive == nil {
		w.receiver.Store(nil)
		return
	}
	w.receiver.Store(&receive)
}

// receive is what the spoke calls.
func (w *way) receive(p []byte) {
	if receive := w.receiver.Load(); receive != nil {
		(*receive)(p)
	}
}
