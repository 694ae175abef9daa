package nfnl

import (
	"bytes"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMessagesAreReadAsTheyWereWritten(t *testing.T) {
	m := NewMessage(IPSet, 9, unix.NLM_F_EXCL, unix.AF_INET6, 107)
	m.PutString(2, "name")
	all := m.Open(7)
	m.PutByte(1, 5)
	m.PutUint32(2, 0x01020304)
	m.Close(all)
	m.PutMarked(3, []byte{1, 2, 3})
	two := append(bytes.Clone(m.finish(1)), m.finish(2)...)

	n := 0
	for h, body := range Messages(append(two, 1, 2, 3)) {
		n++
		if h.Subsystem != IPSet || h.Command != 9 || h.Family != unix.AF_INET6 || h.Resource != 107 || h.Seq != uint32(n) {
			t.Errorf("header %+v", h)
		}
		nest := Attribute(body, 7)
		if Text(Attribute(body, 2)) != "name" || Byte(Attribute(nest, 1)) != 5 || Uint32(Attribute(nest, 2)) != 0x01020304 ||
			!bytes.Equal(Attribute(body, 3), []byte{1, 2, 3}) {
			t.Errorf("body %x", body)
		}
	}
	if n != 2 {
		t.Errorf("%d messages, want 2", n)
	}
}

func FuzzMessages(f *testing.F) {
	m := NewMessage(Log, 0, 0, 0, 0)
	m.PutString(10, "prefix")
	f.Add(m.finish(1))
	f.Fuzz(func(_ *testing.T, b []byte) {
		for h, body := range Messages(b) {
			_ = refusal(h.Kind, body)
			for _, v := range Attributes(body) {
				_, _, _, _ = Text(v), Uint16(v), Uint32(v), Byte(v)
			}
		}
	})
}
