package relay

import (
	"net/netip"
	"sync/atomic"

	"github.com/kedge-io/kedge/tunnel/relay/packet"
)

// device is what a flow needs of the TUN device.
type device interface {
	ReadPacket(buf []byte) (int, error)
	WritePacket(p []byte) error
}

// flow is the relay while it has a device.
type flow struct {
	*Relay
	device device
	pods   atomic.Pointer[netip.Prefix] // this node's range
}

// send carries packets from the device to the link until the device is closed
// or fails.
func (f *flow) send() error {
	buf := make([]byte, packet.MaxLen)
	for {
		n, err := f.device.ReadPacket(buf)
		if err != nil {
			if isClosed(err) {
				return nil
			}
			return err
		}
		info, fault := packet.Parse(buf[:n])
		if fault != packet.None || !f.pods.Load().Contains(info.Source) {
			f.refusedOut.Add(1)
			f.note("packets are not sent", info, fault)
			continue
		}
		if f.cfg.Link.Send(buf[:n]) {
			f.sent.Add(1)
		} else {
			f.lost.Add(1)
		}
	}
}

// receive gives a packet of the link to the kernel.
func (f *flow) receive(p []byte) {
	info, fault := packet.Parse(p)
	pods := f.pods.Load()
	if fault != packet.None || !pods.Contains(info.Destination) || pods.Contains(info.Source) {
		f.refusedIn.Add(1)
		f.note("packets are not taken", info, fault)
		return
	}
	if f.device.WritePacket(p) != nil {
		f.refusedIn.Add(1)
		return
	}
	f.received.Add(1)
}

// note logs once a minute what kind of packet is refused.
func (f *flow) note(message string, info packet.Info, fault packet.Fault) {
	if fault == packet.IPv6 || !f.strange.First(message+string(fault)) {
		return
	}
	if fault != packet.None {
		f.log.Warn(message, "reason", fault)
		return
	}
	f.log.Warn(message, "reason", "address", "source", info.Source, "destination", info.Destination, "pods", f.pods.Load())
}
