package nflog

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
)

func packet(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Headers, put together by hand.
const (
	v4TCP      = "45000028 0000 4000 40 06 0000 c0000201 c6336402"
	v4Options  = "46000028 0000 4000 40 11 0000 c0000201 c6336402 01010101"
	v4Fragment = "45000028 0000 2001 40 11 0000 c0000201 c6336402"
	v4First    = "45000028 0000 2000 40 11 0000 c0000201 c6336402"
	v4ICMP     = "45000028 0000 4000 40 01 0000 c0000201 c6336402"
	addresses6 = "20010db8000000000000000000000001 20010db8000000000000000000000002"
	ports      = "9c40 0050 00000000"
)

func TestPacketsAreRead(t *testing.T) {
	v4 := func(fromPort, toPort uint16) (netip.AddrPort, netip.AddrPort) {
		return netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), fromPort), netip.AddrPortFrom(netip.MustParseAddr("198.51.100.2"), toPort)
	}
	v6 := func(fromPort, toPort uint16) (netip.AddrPort, netip.AddrPort) {
		return netip.AddrPortFrom(netip.MustParseAddr("2001:db8::1"), fromPort), netip.AddrPortFrom(netip.MustParseAddr("2001:db8::2"), toPort)
	}
	with := func(protocol, icmp uint8, length int) func(from, to netip.AddrPort) Packet {
		return func(from, to netip.AddrPort) Packet {
			return Packet{Protocol: protocol, ICMPType: icmp, Length: length, From: from, To: to}
		}
	}
	for name, c := range map[string]struct {
		bytes string
		want  Packet
	}{
		"IPv4 TCP":                  {v4TCP + ports, with(6, 0, 40)(v4(40000, 80))},
		"IPv4 TCP, ports cut off":   {v4TCP + "9c40", with(6, 0, 40)(v4(0, 0))},
		"IPv4 UDP behind options":   {v4Options + ports, with(17, 0, 40)(v4(40000, 80))},
		"IPv4 first fragment":       {v4First + ports, with(17, 0, 40)(v4(40000, 80))},
		"IPv4 later fragment":       {v4Fragment + ports, with(17, 0, 40)(v4(0, 0))},
		"IPv4 ICMP":                 {v4ICMP + "08000000", with(1, 8, 40)(v4(0, 0))},
		"IPv6 UDP":                  {"60000000 0014 11 40" + addresses6 + ports, with(17, 0, 60)(v6(40000, 80))},
		"IPv6 hop-by-hop, TCP":      {"60000000 0014 00 40" + addresses6 + "06000000 00000000" + ports, with(6, 0, 60)(v6(40000, 80))},
		"IPv6 AH, destination, UDP": {"60000000 0014 33 40" + addresses6 + "3c010000 00000000 00000000" + "11000000 00000000" + ports, with(17, 0, 60)(v6(40000, 80))},
		"IPv6 first fragment":       {"60000000 0014 2c 40" + addresses6 + "11000001 00000000" + ports, with(17, 0, 60)(v6(40000, 80))},
		"IPv6 later fragment":       {"60000000 0014 2c 40" + addresses6 + "11000100 00000000" + ports, with(17, 0, 60)(v6(0, 0))},
		"IPv6 extension cut off":    {"60000000 0014 00 40" + addresses6 + "06", with(0, 0, 60)(v6(0, 0))},
		"IPv6 ICMP":                 {"60000000 0014 3a 40" + addresses6 + "80000000", with(58, 128, 60)(v6(0, 0))},
	} {
		var p Packet
		if !p.read(packet(t, c.bytes)) || p != c.want {
			t.Errorf("%s: got %+v, want %+v", name, p, c.want)
		}
	}
	for name, bytes := range map[string]string{"nothing": "", "ARP": "0001080006040001", "IPv4 cut off": "45000028 0000", "IPv6 cut off": "60000000"} {
		if (&Packet{}).read(packet(t, bytes)) {
			t.Errorf("%s was taken for a packet", name)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{v4TCP + ports, v4Options, "60000000 0014 00 40" + addresses6 + "06000000 00000000" + ports} {
		body := packet(f, text)
		f.Add(append([]byte{byte(len(body) + 4), 0, attrPayload, 0}, body...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, ok := parse(b, func(uint32) string { return "eth0" })
		if ok && (!p.From.Addr().IsValid() || p.From.Addr().Is4() != p.To.Addr().Is4()) {
			t.Errorf("a packet with addresses %v and %v", p.From, p.To)
		}
	})
}
