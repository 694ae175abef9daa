package nfnl

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// The subsystems (linux/netfilter/nfnetlink.h).
const (
	Conntrack uint8 = 1
	Log       uint8 = 4
	IPSet     uint8 = 6
	Tables    uint8 = 10
)

// MaxAttribute is the length in bytes that an attribute can have at most with its
// header: its length is 16 bits.
const MaxAttribute = 1<<16 - 1

// headerLen is that of a netlink message and of nfgenmsg, which follows it.
const headerLen = unix.SizeofNlMsghdr + 4

const (
	nested    = 1 << 15
	bigEndian = 1 << 14
)

// Message is a request that is being written.
type Message struct {
	b []byte
}

// NewMessage begins a request. Flags are NLM_F_*; NLM_F_REQUEST goes without
// saying. Resource is what the subsystem calls so, most often 0.
func NewMessage(subsystem, command uint8, flags uint16, family uint8, resource uint16) *Message {
	m := &Message{b: make([]byte, headerLen, 256)}
	binary.NativeEndian.PutUint16(m.b[4:], uint16(subsystem)<<8|uint16(command))
	binary.NativeEndian.PutUint16(m.b[6:], flags|unix.NLM_F_REQUEST)
	m.b[unix.SizeofNlMsghdr] = family
	binary.BigEndian.PutUint16(m.b[unix.SizeofNlMsghdr+2:], resource)
	return m
}

// Len is the length so far in bytes.
func (m *Message) Len() int { return len(m.b) }

// Put adds an attribute.
func (m *Message) Put(kind uint16, value []byte) {
	m.head(kind, len(value))
	m.b = append(m.b, value...)
	m.pad()
}

// PutByte adds an attribute of one byte.
func (m *Message) PutByte(kind uint16, v uint8) {
	m.head(kind, 1)
	m.b = append(m.b, v, 0, 0, 0)
}

// PutUint32 adds an attribute of 32 bits in network order that says so.
func (m *Message) PutUint32(kind uint16, v uint32) {
	m.head(kind|bigEndian, 4)
	m.b = binary.BigEndian.AppendUint32(m.b, v)
}

// PutNative32 adds an attribute of 32 bits in the order of the machine.
func (m *Message) PutNative32(kind uint16, v uint32) {
	m.head(kind, 4)
	m.b = binary.NativeEndian.AppendUint32(m.b, v)
}

// PutString adds a text with a zero at its end.
func (m *Message) PutString(kind uint16, s string) {
	m.head(kind, len(s)+1)
	m.b = append(append(m.b, s...), 0)
	m.pad()
}

// Open begins an attribute that holds others; Close with the result ends it.
func (m *Message) Open(kind uint16) (place int) {
	m.head(kind|nested, 0)
	return len(m.b) - unix.SizeofRtAttr
}

// Close ends the attribute that began at place.
func (m *Message) Close(place int) {
	binary.NativeEndian.PutUint16(m.b[place:], uint16(len(m.b)-place))
}

// PutMarked is [Message.Put] of an address in network order that says so.
func (m *Message) PutMarked(kind uint16, value []byte) { m.Put(kind|bigEndian, value) }

func (m *Message) head(kind uint16, length int) {
	m.b = binary.NativeEndian.AppendUint16(m.b, uint16(length+unix.SizeofRtAttr))
	m.b = binary.NativeEndian.AppendUint16(m.b, kind)
}

func (m *Message) pad() {
	for len(m.b)%unix.NLMSG_ALIGNTO != 0 {
		m.b = append(m.b, 0)
	}
}

// finish fills in what is only known at the end.
func (m *Message) finish(seq uint32) []byte {
	binary.NativeEndian.PutUint32(m.b, uint32(len(m.b)))
	binary.NativeEndian.PutUint32(m.b[8:], seq)
	return m.b
}
