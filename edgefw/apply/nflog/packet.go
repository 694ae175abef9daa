package nflog

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Packet is what is told of a packet. What could not be read of it is zero.
type Packet struct {
	// Prefix is the text that the rule gives it (--nflog-prefix).
	Prefix string
	// In and Out are devices, empty where the packet has none yet.
	In, Out string
	// Protocol is that of the IP header (6 TCP, 17 UDP, 1 ICMP, 58 ICMPv6), behind
	// extension headers of IPv6.
	Protocol uint8
	// From and To have port 0 where the protocol has none and in later fragments.
	From, To netip.AddrPort
	// ICMPType is that of the family's ICMP.
	ICMPType uint8
	// Length is that of the whole packet in bytes, as its header says.
	Length int
	Mark   uint32
}

// read takes in what the IP header and the one after it tell. False means that it
// is no IP packet.
func (p *Packet) read(b []byte) bool {
	if len(b) == 0 {
		return false
	}
	switch b[0] >> 4 {
	case 4:
		return p.readIPv4(b)
	case 6:
		return p.readIPv6(b)
	}
	return false
}

func (p *Packet) readIPv4(b []byte) bool {
	const least = 20
	if len(b) < least {
		return false
	}
	p.Protocol = b[9]
	p.Length = int(binary.BigEndian.Uint16(b[2:]))
	from, _ := netip.AddrFromSlice(b[12:16])
	to, _ := netip.AddrFromSlice(b[16:20])
	p.From, p.To = netip.AddrPortFrom(from, 0), netip.AddrPortFrom(to, 0)
	header := int(b[0]&0xf) * 4
	laterFragment := binary.BigEndian.Uint16(b[6:])&0x1fff != 0
	if header >= least && header <= len(b) && !laterFragment {
		p.readTransport(b[header:])
	}
	return true
}

func (p *Packet) readIPv6(b []byte) bool {
	const header = 40
	if len(b) < header {
		return false
	}
	p.Length = header + int(binary.BigEndian.Uint16(b[4:]))
	from, _ := netip.AddrFromSlice(b[8:24])
	to, _ := netip.AddrFromSlice(b[24:40])
	p.From, p.To = netip.AddrPortFrom(from, 0), netip.AddrPortFrom(to, 0)
	next, rest, whole := skipExtensions(b[6], b[header:])
	p.Protocol = next
	if whole {
		p.readTransport(rest)
	}
	return true
}

// skipExtensions goes to the header after those of RFC 8200, section 4. It is not
// whole when that is cut off or in another fragment.
func skipExtensions(next uint8, b []byte) (uint8, []byte, bool) {
	for {
		length := 0
		switch next {
		case unix.IPPROTO_HOPOPTS, unix.IPPROTO_ROUTING, unix.IPPROTO_DSTOPTS:
			if len(b) >= 2 {
				length = (int(b[1]) + 1) * 8
			}
		case unix.IPPROTO_AH:
			if len(b) >= 2 {
				length = (int(b[1]) + 2) * 4
			}
		case unix.IPPROTO_FRAGMENT:
			length = 8
		default:
			return next, b, true
		}
		if length == 0 || len(b) < length {
			return next, nil, false
		}
		if next == unix.IPPROTO_FRAGMENT && binary.BigEndian.Uint16(b[2:])>>3 != 0 {
			return b[0], nil, false
		}
		next, b = b[0], b[length:]
	}
}

func (p *Packet) readTransport(b []byte) {
	switch p.Protocol {
	case unix.IPPROTO_TCP, unix.IPPROTO_UDP, unix.IPPROTO_UDPLITE, unix.IPPROTO_SCTP, unix.IPPROTO_DCCP:
		if len(b) >= 4 {
			p.From = netip.AddrPortFrom(p.From.Addr(), binary.BigEndian.Uint16(b))
			p.To = netip.AddrPortFrom(p.To.Addr(), binary.BigEndian.Uint16(b[2:]))
		}
	case unix.IPPROTO_ICMP, unix.IPPROTO_ICMPV6:
		if len(b) >= 1 {
			p.ICMPType = b[0]
		}
	}
}
