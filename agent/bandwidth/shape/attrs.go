package shape

import "encoding/binary"

// attrs are netlink attributes by type.
type attrs map[uint16][]byte

const attrHeader = 4

// align rounds up to the boundary of netlink messages and attributes.
func align(n int) int { return (n + 3) &^ 3 }

// parse reads attributes up to the first one that is broken.
func parse(b []byte) attrs {
	a := attrs{}
	for len(b) >= attrHeader {
		length := int(binary.NativeEndian.Uint16(b))
		if length < attrHeader || length > len(b) {
			break
		}
		const flags = 0xc000 // NLA_F_NESTED, NLA_F_NET_BYTEORDER
		a[binary.NativeEndian.Uint16(b[2:])&^flags] = b[attrHeader:length]
		b = b[min(align(length), len(b)):]
	}
	return a
}

func (a attrs) nested(kind uint16) attrs { return parse(a[kind]) }

func (a attrs) text(kind uint16) string {
	b := a[kind]
	for len(b) > 0 && b[len(b)-1] == 0 {
		b = b[:len(b)-1]
	}
	return string(b)
}

func (a attrs) u32(kind uint16) uint32 {
	if b := a[kind]; len(b) >= 4 {
		return binary.NativeEndian.Uint32(b)
	}
	return 0
}

func (a attrs) u64(kind uint16) uint64 {
	if b := a[kind]; len(b) >= 8 {
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
