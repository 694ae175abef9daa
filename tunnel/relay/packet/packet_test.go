package packet

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
)

// build returns a good packet that edit may spoil.
func build(proto byte, payload int, edit func(h, ip []byte)) []byte {
	p := make([]byte, HeaderLen+headerLen4+payload)
	h, ip := p[:HeaderLen], p[HeaderLen:]
	ip[0] = 0x45
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	ip[8], ip[9] = 64, proto
	copy(ip[12:], []byte{10, 42, 1, 5, 10, 42, 2, 7})
	if edit != nil {
		edit(h, ip)
	}
	return p
}

func header(flags, gso byte, headers, segment, start, offset uint16) func(h, ip []byte) {
	return func(h, _ []byte) {
		h[0], h[1] = flags, gso
		for i, v := range []uint16{headers, segment, start, offset} {
			binary.LittleEndian.PutUint16(h[2+2*i:], v)
		}
	}
}

func TestParseTellsGoodPacketsFromBadOnes(t *testing.T) {
	cases := []struct {
		name string
		p    []byte
		want Fault
	}{
		{"nothing", nil, Malformed},
		{"a header alone", make([]byte, HeaderLen), Malformed},
		{"ping", build(protoICMP, 64, nil), None},
		{"an empty packet", build(protoUDP, 0, nil), None},
		{"the longest", build(protoUDP, 0xffff-headerLen4, nil), None},
		{"longer than any", append(build(protoUDP, 0xffff-headerLen4, nil), 0), Malformed},
		{"IPv6", build(protoTCP, 40, func(_, ip []byte) { ip[0] = 0x60 }), IPv6},
		{"version 7", build(protoTCP, 40, func(_, ip []byte) { ip[0] = 0x75 }), Malformed},
		{"header shorter than IPv4's", build(protoTCP, 40, func(_, ip []byte) { ip[0] = 0x44 }), Malformed},
		{"cut off", build(protoTCP, 40, nil)[:HeaderLen+30], Malformed},
		{"with a tail", append(build(protoTCP, 40, nil), 1), Malformed},
		{"header cut off", build(protoTCP, 40, nil)[:HeaderLen+10], Malformed},
		{"options", build(protoTCP, 40, func(_, ip []byte) { ip[0] = 0x46 }), Options},
		{"options that are not there", build(protoTCP, 0, func(_, ip []byte) { ip[0] = 0x4f }), Options},
		{"checksum left out", build(protoTCP, 40, header(1, 0, 0, 0, 20, 16)), None},
		{"checksum known good", build(protoTCP, 40, header(2, 0, 0, 0, 0, 0)), None},
		{"checksum inside the IP header", build(protoTCP, 40, header(1, 0, 0, 0, 10, 0)), Offload},
		{"checksum behind the end", build(protoTCP, 40, header(1, 0, 0, 0, 20, 39)), Offload},
		{"checksum far behind the end", build(protoTCP, 40, header(1, 0, 0, 0, 0xffff, 0xffff)), Offload},
		{"unknown flag", build(protoTCP, 40, header(4, 0, 0, 0, 0, 0)), Offload},
		{"headers longer than the packet", build(protoTCP, 40, header(0, 0, 61, 0, 0, 0)), Offload},
		{"many segments", build(protoTCP, 60000, header(1, 1, 40, 1448, 20, 16)), None},
		{"many segments with ECN", build(protoTCP, 60000, header(1, 1|gsoECN, 40, 1448, 20, 16)), None},
		{"ECN without segments", build(protoTCP, 60, header(1, gsoECN, 40, 0, 20, 16)), Offload},
		{"segments of one byte", build(protoTCP, 60000, header(1, 1, 40, 1, 20, 16)), Offload},
		{"segments of no byte", build(protoTCP, 60000, header(1, 1, 40, 0, 20, 16)), Offload},
		{"segments without a checksum", build(protoTCP, 60000, header(0, 1, 40, 1448, 0, 0)), Offload},
		{"segments of UDP that say TCP", build(protoUDP, 60000, header(1, 1, 40, 1448, 20, 6)), Offload},
		{"segments with the checksum of UDP", build(protoTCP, 60000, header(1, 1, 40, 1448, 20, 6)), Offload},
		{"segments of something inside", build(protoTCP, 60000, header(1, 1, 90, 1448, 70, 16)), Offload},
		{"datagrams with the checksum of TCP", build(protoUDP, 8+128*400, header(1, 5, 28, 400, 20, 16)), Offload},
		{"datagrams with TCP's ECN", build(protoUDP, 8+128*400, header(1, 5|gsoECN, 28, 400, 20, 6)), Offload},
		{"TCP over IPv6 in IPv4", build(protoTCP, 60000, header(1, 4, 40, 1448, 20, 16)), Offload},
		{"a segmented fragment", build(protoTCP, 60000, func(h, ip []byte) {
			header(1, 1, 40, 1448, 20, 16)(h, ip)
			ip[6] = 0x20
		}), Offload},
		{"datagrams", build(protoUDP, 8+128*400, header(1, 5, 28, 400, 20, 6)), None},
		{"too many datagrams", build(protoUDP, 8+128*400+1, header(1, 5, 28, 400, 20, 6)), Offload},
		{"datagrams without a header", build(protoUDP, 7, header(1, 5, 20, 1, 20, 4)), Offload},
		{"fragmentation of UDP by the receiver", build(protoUDP, 60000, header(1, 3, 28, 1448, 20, 6)), Offload},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			info, fault := Parse(c.p)
			if fault != c.want {
				t.Fatalf("got %q, want %q", fault, c.want)
			}
			if fault == None && (info.Source != netip.MustParseAddr("10.42.1.5") || info.Destination != netip.MustParseAddr("10.42.2.7")) {
				t.Errorf("got %+v", info)
			}
		})
	}
}

func TestUnreachableAnswersWithAnErrorThatIsGoodItself(t *testing.T) {
	p := build(protoTCP, 40, nil)
	info, _ := Parse(p)
	answer := Unreachable(p, info)
	back, fault := Parse(answer)
	if fault != None || back.Source != info.Destination || back.Destination != info.Source || back.Protocol != protoICMP {
		t.Fatalf("got %+v, %q", back, fault)
	}
	ip := answer[HeaderLen:]
	if checksum(ip[:headerLen4]) != 0 || checksum(ip[headerLen4:]) != 0 {
		t.Error("a checksum is wrong")
	}
	if !bytes.Equal(ip[headerLen4+icmpLen:], p[HeaderLen:HeaderLen+quoted]) {
		t.Error("the packet is not quoted")
	}
	if again := Unreachable(answer, back); again != nil {
		t.Error("an error was answered with an error")
	}
}

func TestUnreachableKeepsSilent(t *testing.T) {
	for name, p := range map[string][]byte{
		"to a group":       build(protoUDP, 40, func(_, ip []byte) { ip[16] = 224 }),
		"to everybody":     build(protoUDP, 40, func(_, ip []byte) { copy(ip[16:], []byte{255, 255, 255, 255}) }),
		"a later fragment": build(protoUDP, 40, func(_, ip []byte) { ip[7] = 1 }),
		"too short":        build(protoUDP, 7, nil),
	} {
		info, fault := Parse(p)
		if fault != None {
			t.Fatalf("%s: %q", name, fault)
		}
		if Unreachable(p, info) != nil {
			t.Errorf("%s: answered", name)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte{})
	f.Add(build(protoICMP, 64, nil))
	f.Add(build(protoTCP, 2000, header(1, 1, 40, 1448, 20, 16)))
	f.Add(build(protoUDP, 2000, header(1, 5, 28, 400, 20, 6)))
	f.Add(build(protoUDP, 40, func(_, ip []byte) { ip[6], ip[7] = 0x20, 1 }))
	f.Add(build(protoTCP, 40, func(_, ip []byte) { ip[0] = 0x4f }))
	f.Add(build(protoTCP, 40, func(_, ip []byte) { ip[0] = 0x60 }))
	f.Add(build(protoTCP, 40, header(1, 0, 0xffff, 0xffff, 0xffff, 0xffff)))
	f.Fuzz(func(t *testing.T, p []byte) {
		before := bytes.Clone(p)
		info, fault := Parse(p)
		if !bytes.Equal(before, p) {
			t.Fatal("the packet was changed")
		}
		if fault != None {
			return
		}
		if !info.Source.Is4() || !info.Destination.Is4() || len(p) > MaxLen {
			t.Fatalf("%+v", info)
		}
		if p[0]&1 != 0 {
			if end := int(binary.LittleEndian.Uint16(p[6:])) + int(binary.LittleEndian.Uint16(p[8:])) + 2; end > len(p)-HeaderLen {
				t.Fatal("a checksum would be written behind the packet")
			}
		}
		if answer := Unreachable(p, info); answer != nil {
			if back, fault := Parse(answer); fault != None || back.Destination != info.Source {
				t.Fatalf("the answer is %q: %+v", fault, back)
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	p := build(protoTCP, 1000, header(1, 1, 40, 1448, 20, 16))
	b.ReportAllocs()
	for b.Loop() {
		if _, fault := Parse(p); fault != None {
			b.Fatal(fault)
		}
	}
}
