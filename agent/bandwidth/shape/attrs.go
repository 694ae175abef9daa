package shape

import (
	"encoding/binary"
	"strings"
)

// attrs are netlink attributes one after another. Few of the many that a link
// has are asked for, so they are searched rather than sorted into a map.
type attrs []byte

const attrHeader = 4

// align rounds up to the boundary of netlink messages and attributes.
func align(n int) int { return (n + 3) &^ 3 }

// find returns the data of the first attribute of a kind that is before any
// broken one.
func (a attrs) find(kind uint16) []byte {
	const flags = 0xc000 // NLA_F_NESTED, NLA_F_NET_BYTEORDER
	for len(a) >= attrHeader {
		length := int(binary.NativeEndian.Uint16(a))
		if length < attrHeader || length > len(a) {
			return nil
		}
		if binary.NativeEndian.Uint16(a[2:])&^flags == kind {
			return a[attrHeader:length]
		}
		a = a[min(align(length), len(a)):]
	}
	return nil
}

func (a attrs) nested(kind uint16) attrs { return attrs(a.find(kind)) }

// text is a string, which ends at its first zero byte.
func (a attrs) text(kind uint16) string {
	text, _, _ := strings.Cut(string(a.find(kind)), "\x00")
	return text
}

func (a attrs) u32(kind uint16) uint32 {
	if b := a.find(kind); len(b) >= 4 {
		return binary.NativeEndian.Uint32(b)
	}
	return 0
}

func (a attrs) u64(kind uint16) uint64 {
	if b := a.find(kind); len(b) >= 8 {
		return binary.NativeEndian.Uint64(b)
	}
	return 0
}

// attr appends an attribute with data.
func attr(b []byte, kind uint16, data []byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(attrHeader+len(data)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = append(b, data...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func attrText(b []byte, kind uint16, s string) []byte { return attr(b, kind, append([]byte(s), 0)) }

func attrU32(b []byte, kind uint16, v uint32) []byte {
	return attr(b, kind, binary.NativeEndian.AppendUint32(nil, v))
}

func attrU64(b []byte, kind uint16, v uint64) []byte {
	return attr(b, kind, binary.NativeEndian.AppendUint64(nil, v))
}

func u32s(values ...uint32) []byte {
	var b []byte
	for _, v := range values {
		b = binary.NativeEndian.AppendUint32(b, v)
	}
	return b
}
