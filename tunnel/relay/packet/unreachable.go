package packet

import (
	"encoding/binary"
	"net/netip"
)

const (
	typeUnreachable = 3
	// quoted is how much of the packet an ICMP error repeats: its header and
	// eight bytes (RFC 792), in which the ports are.
	quoted     = headerLen4 + 8
	icmpLen    = 8
	answerTTL  = 64
	errorBytes = HeaderLen + headerLen4 + icmpLen + quoted
)

// Unreachable returns the ICMP error "host unreachable" (RFC 792, type 3, code
// 1) that answers p, with its virtio_net_hdr; nil where RFC 1122 section 3.2.2
// forbids an answer. p must have passed [Parse] with info. The answer comes
// from the address that was asked for, as the relay has none.
func Unreachable(p []byte, info Info) []byte {
	ip := p[HeaderLen:]
	if !info.First || len(ip) < quoted || !single(info.Destination) || !single(info.Source) {
		return nil
	}
	if info.Protocol == protoICMP && isError(ip[headerLen4]) {
		return nil
	}
	out := make([]byte, errorBytes)
	answer := out[HeaderLen:]
	answer[0] = 4<<4 | headerLen4/4
	binary.BigEndian.PutUint16(answer[2:], uint16(len(answer))) //nolint:gosec // 56
	answer[8], answer[9] = answerTTL, protoICMP
	copy(answer[12:16], ip[16:20])
	copy(answer[16:20], ip[12:16])
	binary.BigEndian.PutUint16(answer[10:], checksum(answer[:headerLen4]))
	icmp := answer[headerLen4:]
	icmp[0], icmp[1] = typeUnreachable, 1
	copy(icmp[icmpLen:], ip[:quoted])
	binary.BigEndian.PutUint16(icmp[2:], checksum(icmp))
	return out
}

// single tells an address of one host.
func single(a netip.Addr) bool {
	return !a.IsMulticast() && !a.IsUnspecified() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// isError tells the ICMP types that report about another packet.
func isError(icmpType byte) bool {
	switch icmpType {
	case 3, 4, 5, 11, 12:
		return true
	}
	return false
}

// checksum is that of RFC 1071.
func checksum(b []byte) uint16 {
	var sum uint32
	for ; len(b) > 1; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum) //nolint:gosec // folded above
}
