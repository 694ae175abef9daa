package nfnl

import (
	"encoding/binary"
	"iter"

	"golang.org/x/sys/unix"
)

// Header is what stands before the attributes of a message of netfilter, and
// before that of an error.
type Header struct {
	Subsystem, Command uint8
	Family             uint8
	Resource           uint16
	// Kind is the whole type of the netlink message; below 16 it is netlink's own
	// (NLMSG_ERROR, NLMSG_DONE), and Family and Resource mean nothing.
	Kind  uint16
	Flags uint16
	Seq   uint32
}

// Messages yields the messages of one datagram: header and what follows it. It
// ends at the first that is malformed.
func Messages(b []byte) iter.Seq2[Header, []byte] {
	return func(yield func(Header, []byte) bool) {
		for len(b) >= unix.SizeofNlMsghdr {
			length := int(binary.NativeEndian.Uint32(b))
			if length < unix.SizeofNlMsghdr || length > len(b) {
				return
			}
			h, body, ok := parseHeader(b[:length])
			if !ok || !yield(h, body) {
				return
			}
			b = b[min(align(length), len(b)):]
		}
	}
}

func parseHeader(b []byte) (Header, []byte, bool) {
	h := Header{
		Kind:  binary.NativeEndian.Uint16(b[4:]),
		Flags: binary.NativeEndian.Uint16(b[6:]),
		Seq:   binary.NativeEndian.Uint32(b[8:]),
	}
	b = b[unix.SizeofNlMsghdr:]
	if h.Kind < unix.NLMSG_MIN_TYPE {
		return h, b, true
	}
	if len(b) < 4 {
		return h, nil, false
	}
	h.Subsystem, h.Command = uint8(h.Kind>>8), uint8(h.Kind)
	h.Family, h.Resource = b[0], binary.BigEndian.Uint16(b[2:])
	return h, b[4:], true
}

// Attributes yields attributes without the bits that tell nesting and order. It
// ends at the first that is malformed.
func Attributes(b []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= unix.SizeofRtAttr {
			length := int(binary.NativeEndian.Uint16(b))
			if length < unix.SizeofRtAttr || length > len(b) {
				return
			}
			kind := binary.NativeEndian.Uint16(b[2:]) &^ (nested | bigEndian)
			if !yield(kind, b[unix.SizeofRtAttr:length]) {
				return
			}
			b = b[min(align(length), len(b)):]
		}
	}
}

// Attribute is the first attribute of a kind, or nil.
func Attribute(b []byte, kind uint16) []byte {
	for k, v := range Attributes(b) {
		if k == kind {
			return v
		}
	}
	return nil
}

// Uint32 is a number in network order, 0 when b is too short.
func Uint32(b []byte) uint32 {
	if len(b) < 4 {
		return 0
	}
	return binary.BigEndian.Uint32(b)
}

// Uint16 is a number in network order, 0 when b is too short.
func Uint16(b []byte) uint16 {
	if len(b) < 2 {
		return 0
	}
	return binary.BigEndian.Uint16(b)
}

// Byte is the first byte, 0 when there is none.
func Byte(b []byte) uint8 {
	if len(b) == 0 {
		return 0
	}
	return b[0]
}

// Text is a string as the kernel sends it, with or without a zero at its end.
func Text(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}

func align(n int) int { return (n + unix.NLMSG_ALIGNTO - 1) &^ (unix.NLMSG_ALIGNTO - 1) }
