package conntrack

import (
	"net/netip"

	"github.com/kedge-io/kedge/edgefw/apply/nfnl"
)

// Of linux/netfilter/nfnetlink_conntrack.h.
const (
	attrOriginal = 1
	attrReply    = 2
	attrStatus   = 3
	attrMark     = 8
	attrID       = 12
	attrZone     = 18

	tupleIP    = 1
	tupleProto = 2

	protoNumber   = 1
	protoFrom     = 2
	protoTo       = 3
	protoICMPType = 5
	protoICMPCode = 6
	// ICMPv6 has numbers of its own for the same.
	protoICMPv6Type = 8
	protoICMPv6Code = 9
)

// Status bits (linux/netfilter/nf_conntrack_common.h).
const (
	statusSeenReply = 1 << 1
	statusSource    = 1 << 4
	statusTarget    = 1 << 5
)

// Flow is one flow as the kernel knows it.
type Flow struct {
	// Protocol is the number of the IP header (6 TCP, 17 UDP, 1 ICMP, 58 ICMPv6).
	Protocol uint8
	// From and To are as the one who began it wrote them on its first packet,
	// before any translation. Ports are 0 with ICMP.
	From, To netip.AddrPort
	// Peer is who really answers: To, unless the destination was translated.
	Peer netip.AddrPort
	// Seen is as whom Peer knows the one who began it: From, unless the source was
	// translated.
	Seen netip.AddrPort
	// ICMPType and ICMPCode are those of the request.
	ICMPType, ICMPCode uint8
	// Mark is the connection's mark.
	Mark uint32
	// Answered tells that packets came back.
	Answered bool
	// TranslatedTarget and TranslatedSource tell of DNAT and SNAT.
	TranslatedTarget, TranslatedSource bool

	family             uint8
	original, zone, id []byte
}

// parse reads one message of a dump. False means that it is no flow of IP.
func parse(h nfnl.Header, body []byte) (Flow, bool) {
	f := Flow{family: h.Family}
	var from, back tuple
	for kind, value := range nfnl.Attributes(body) {
		switch kind {
		case attrOriginal:
			from = parseTuple(value)
			f.original = append([]byte(nil), value...)
		case attrReply:
			back = parseTuple(value)
		case attrStatus:
			status := nfnl.Uint32(value)
			f.Answered = status&statusSeenReply != 0
			f.TranslatedSource, f.TranslatedTarget = status&statusSource != 0, status&statusTarget != 0
		case attrMark:
			f.Mark = nfnl.Uint32(value)
		case attrZone:
			f.zone = append([]byte(nil), value...)
		case attrID:
			f.id = append([]byte(nil), value...)
		}
	}
	f.Protocol, f.From, f.To = from.protocol, from.from(), from.to()
	f.ICMPType, f.ICMPCode = from.icmpType, from.icmpCode
	f.Peer, f.Seen = back.from(), back.to()
	return f, f.From.IsValid() && f.To.IsValid()
}

// tuple is one direction of a flow.
type tuple struct {
	src, dst           netip.Addr
	srcPort, dstPort   uint16
	protocol           uint8
	icmpType, icmpCode uint8
}

func (t tuple) from() netip.AddrPort { return netip.AddrPortFrom(t.src, t.srcPort) }
func (t tuple) to() netip.AddrPort   { return netip.AddrPortFrom(t.dst, t.dstPort) }

func parseTuple(b []byte) tuple {
	var t tuple
	for kind, value := range nfnl.Attributes(b) {
		switch kind {
		case tupleIP:
			t.addresses(value)
		case tupleProto:
			t.ports(value)
		}
	}
	return t
}

func (t *tuple) addresses(b []byte) {
	for kind, value := range nfnl.Attributes(b) {
		switch kind {
		case 1, 3: // source, of IPv4 and of IPv6
			t.src, _ = netip.AddrFromSlice(value)
		case 2, 4:
			t.dst, _ = netip.AddrFromSlice(value)
		}
	}
}

func (t *tuple) ports(b []byte) {
	for kind, value := range nfnl.Attributes(b) {
		switch kind {
		case protoNumber:
			t.protocol = nfnl.Byte(value)
		case protoFrom:
			t.srcPort = nfnl.Uint16(value)
		case protoTo:
			t.dstPort = nfnl.Uint16(value)
		case protoICMPType, protoICMPv6Type:
			t.icmpType = nfnl.Byte(value)
		case protoICMPCode, protoICMPv6Code:
			t.icmpCode = nfnl.Byte(value)
		}
	}
}
