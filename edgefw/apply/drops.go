package apply

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/kedge-io/kedge/edgefw/apply/nflog"
	"github.com/kedge-io/kedge/edgefw/apply/render"
	"github.com/kedge-io/kedge/edgefw/model"
)

// Drop is a packet that a rule dropped, refused or was to note.
type Drop struct {
	// Rule is as in [Counter], Verdict what the rule did; Log if it only noted.
	Rule    string
	Verdict model.Action
	// In and Out are devices, empty where the packet had none yet.
	In, Out string
	// Protocol is empty for those that no rule can name.
	Protocol model.Protocol
	From, To netip.AddrPort
	ICMPType uint8
	// Length of the packet in bytes.
	Length int
}

// Drops tells of packets until ctx ends; of each rule, a few a second. Only one
// process of a network namespace can listen.
func (k *Kernel) Drops(ctx context.Context, each func(Drop)) error {
	reader, err := nflog.Open(render.LogGroup)
	if err != nil {
		return fmt.Errorf("listening to what is dropped: %w", err)
	}
	return reader.Run(ctx, func(p nflog.Packet) {
		if entry, ok := k.words.Load(p.Prefix); ok {
			each(drop(p, entry.(render.Entry)))
		}
	})
}

func drop(p nflog.Packet, e render.Entry) Drop {
	return Drop{Rule: e.Rule, Verdict: e.Verdict, In: p.In, Out: p.Out, Protocol: protocol(p.Protocol),
		From: p.From, To: p.To, ICMPType: p.ICMPType, Length: p.Length}
}

// protocol is the word for the number in an IP header.
func protocol(number uint8) model.Protocol {
	switch number {
	case 1, 58:
		return model.ICMP
	case 6:
		return model.TCP
	case 17:
		return model.UDP
	case 132:
		return model.SCTP
	}
	return model.AnyProtocol
}
