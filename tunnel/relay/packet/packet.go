package packet

import (
	"encoding/binary"
	"net/netip"
)

const (
	// HeaderLen is the size of struct virtio_net_hdr (include/uapi/linux/
	// virtio_net.h) in bytes. Its numbers are little-endian here on every
	// machine (TUNSETVNETLE), as nodes of different kinds talk to each other.
	HeaderLen = 10
	// MaxLen is the longest packet with its header: what the total length of
	// IPv4 can express.
	MaxLen = HeaderLen + 0xffff
)

// Fields of struct virtio_net_hdr.
const (
	flagNeedsChecksum = 1 // VIRTIO_NET_HDR_F_NEEDS_CSUM
	flagDataValid     = 2 // VIRTIO_NET_HDR_F_DATA_VALID

	gsoNone = 0
	gsoTCP4 = 1    // VIRTIO_NET_HDR_GSO_TCPV4
	gsoUDP  = 5    // VIRTIO_NET_HDR_GSO_UDP_L4
	gsoECN  = 0x80 // VIRTIO_NET_HDR_GSO_ECN
)

const (
	protoICMP = 1
	protoTCP  = 6
	protoUDP  = 17

	headerLen4 = 20 // IPv4 without options
	tcpLen     = 20
	udpLen     = 8
	// Where the checksum is in TCP's and in UDP's header.
	tcpChecksum = 16
	udpChecksum = 6

	// minSegment is Linux's smallest send MSS (TCP_MIN_SND_MSS): with less, one
	// packet would become tens of thousands at the receiver.
	minSegment = 48
	// maxDatagrams is how many datagrams Linux puts into one packet at most
	// (UDP_MAX_SEGMENTS).
	maxDatagrams = 128
)

// Fault says what is wrong with a packet. The strings are labels of metrics.
type Fault string

// The faults. None is that of a good packet.
const (
	None Fault = ""
	// Malformed: too short, or lengths that contradict each other.
	Malformed Fault = "malformed"
	// IPv6: pods have IPv4 addresses only.
	IPv6 Fault = "ipv6"
	// Options: IPv4 options, which can choose routes and record addresses, and
	// which nothing between pods needs.
	Options Fault = "options"
	// Offload: a virtio_net_hdr that does not fit the packet behind it.
	Offload Fault = "offload"
)

// Info is what is known of a good packet.
type Info struct {
	Source, Destination netip.Addr
	// Protocol is IPv4's protocol number.
	Protocol uint8
	// Fragment tells that the packet is one part of several; only the first
	// has ports.
	Fragment bool
	// First is set on the first fragment and on whole packets.
	First bool
}

// Parse checks a virtio_net_hdr and the IPv4 packet behind it. Info is valid
// only with None. Header checksums are left to the receiver's kernel, which
// looks at them anyway.
func Parse(p []byte) (Info, Fault) {
	if len(p) < HeaderLen+1 || len(p) > MaxLen {
		return Info{}, Malformed
	}
	ip := p[HeaderLen:]
	switch ip[0] >> 4 {
	case 4:
	case 6:
		return Info{}, IPv6
	default:
		return Info{}, Malformed
	}
	if len(ip) < headerLen4 || ip[0]&0xf < headerLen4/4 || int(binary.BigEndian.Uint16(ip[2:])) != len(ip) {
		return Info{}, Malformed
	}
	if ip[0]&0xf > headerLen4/4 {
		return Info{}, Options
	}
	const moreFragments, offset = 0x2000, 0x1fff
	fragment := binary.BigEndian.Uint16(ip[6:])
	info := Info{
		Source:      netip.AddrFrom4([4]byte(ip[12:16])),
		Destination: netip.AddrFrom4([4]byte(ip[16:20])),
		Protocol:    ip[9],
		Fragment:    fragment&(moreFragments|offset) != 0,
		First:       fragment&offset == 0,
	}
	return info, offload(p[:HeaderLen], ip, info)
}

// offload checks struct virtio_net_hdr h of packet ip. What Linux itself makes
// passes: a packet is either complete, or lacks the checksum of TCP or UDP, or
// is several of those in one.
func offload(h, ip []byte, info Info) Fault {
	flags, gso := h[0], h[1]&^gsoECN
	headers := int(binary.LittleEndian.Uint16(h[2:]))
	segment := int(binary.LittleEndian.Uint16(h[4:]))
	if flags&^(flagNeedsChecksum|flagDataValid) != 0 || headers > len(ip) {
		return Offload
	}
	if flags&flagNeedsChecksum != 0 {
		start := int(binary.LittleEndian.Uint16(h[6:]))
		field := start + int(binary.LittleEndian.Uint16(h[8:]))
		if start < headerLen4 || field+2 > len(ip) {
			return Offload
		}
	}
	if gso == gsoNone {
		if h[1] != gsoNone {
			return Offload
		}
		return None
	}
	// What is cut has one header of its protocol, right behind that of IPv4.
	if flags&flagNeedsChecksum == 0 || info.Fragment || binary.LittleEndian.Uint16(h[6:]) != headerLen4 {
		return Offload
	}
	payload := len(ip) - headerLen4
	field := binary.LittleEndian.Uint16(h[8:])
	switch {
	case gso == gsoTCP4 && info.Protocol == protoTCP && payload >= tcpLen && field == tcpChecksum && segment >= minSegment:
		return None
	case h[1] == gsoUDP && info.Protocol == protoUDP && payload >= udpLen && field == udpChecksum && segment > 0 &&
		payload-udpLen <= segment*maxDatagrams:
		return None
	}
	return Offload
}
