//go:build namespace

package agree

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/edgefw/model"
)

// number is the protocol's in IP headers.
func number(p model.Packet) uint8 {
	switch {
	case p.Protocol == model.TCP:
		return unix.IPPROTO_TCP
	case p.Protocol == model.UDP:
		return unix.IPPROTO_UDP
	case p.Protocol == model.SCTP:
		return unix.IPPROTO_SCTP
	case p.To.Addr().Is4():
		return unix.IPPROTO_ICMP
	}
	return unix.IPPROTO_ICMPV6
}

// datagram is a packet from the IP header on, with right checksums.
func datagram(p model.Packet) []byte {
	body := transport(p)
	from, to := p.From.Addr().AsSlice(), p.To.Addr().AsSlice()
	if p.To.Addr().Is4() {
		head := []byte{0x45, 0, 0, 0, 0, 0, 0, 0, 64, number(p), 0, 0}
		binary.BigEndian.PutUint16(head[2:], uint16(20+len(body)))
		head = append(append(head, from...), to...)
		binary.BigEndian.PutUint16(head[10:], checksum(head))
		return append(head, body...)
	}
	// Hop limit 255: neighbour discovery has no other.
	head := []byte{0x60, 0, 0, 0, 0, 0, number(p), 255}
	binary.BigEndian.PutUint16(head[4:], uint16(len(body)))
	return append(append(append(head, from...), to...), body...)
}

func transport(p model.Packet) []byte {
	ports := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, p.From.Port()), p.To.Port())
	switch p.Protocol {
	case model.TCP: // a SYN
		return sum(p, append(ports, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0), 16)
	case model.UDP:
		return sum(p, append(ports, 0, 12, 0, 0, 'k', 'e', 'd', 'g'), 6)
	case model.SCTP: // an INIT; its checksum is left out
		return append(ports, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 20, 0, 0, 0, 1, 0, 0, 5, 220, 0, 1, 0, 1, 0, 0, 0, 1)
	default:
		b := make([]byte, 32)
		b[0] = p.ICMPType
		return sum(p, b, 2)
	}
}

// sum puts in the checksum of RFC 1071, over the pseudo header, too, where there
// is one.
func sum(p model.Packet, b []byte, at int) []byte {
	var pseudo []byte
	if number(p) != unix.IPPROTO_ICMP {
		pseudo = append(pseudo, p.From.Addr().AsSlice()...)
		pseudo = append(pseudo, p.To.Addr().AsSlice()...)
		pseudo = append(pseudo, 0, number(p))
		pseudo = binary.BigEndian.AppendUint16(pseudo, uint16(len(b)))
	}
	binary.BigEndian.PutUint16(b[at:], checksum(append(pseudo, b...)))
	return b
}

func checksum(b []byte) uint16 {
	var total uint32
	for i := 0; i+1 < len(b); i += 2 {
		total += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for total > 0xffff {
		total = total>>16 + total&0xffff
	}
	return ^uint16(total)
}

// sockaddr is the address of a raw socket.
func sockaddr(a netip.Addr) unix.Sockaddr {
	if a.Is4() {
		return &unix.SockaddrInet4{Addr: a.As4()}
	}
	return &unix.SockaddrInet6{Addr: a.As16()}
}
