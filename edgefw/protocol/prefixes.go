package protocol

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// appendPrefixes appends prefixes that are sorted, so those of IPv4 come first.
func appendPrefixes(b []byte, prefixes []netip.Prefix) []byte {
	n4 := 0
	for n4 < len(prefixes) && prefixes[n4].Addr().Is4() {
		n4++
	}
	b = binary.BigEndian.AppendUint32(b, uint32(n4))
	b = binary.BigEndian.AppendUint32(b, uint32(len(prefixes)-n4))
	for _, p := range prefixes {
		if a := p.Addr(); a.Is4() {
			four := a.As4()
			b = append(b, four[:]...)
		} else {
			sixteen := a.As16()
			b = append(b, sixteen[:]...)
		}
		b = append(b, byte(p.Bits()))
	}
	return b
}

// takePrefixes reads what appendPrefixes wrote and returns what follows.
func takePrefixes(b []byte) (prefixes []netip.Prefix, rest []byte, err error) {
	if len(b) < 8 {
		return nil, nil, fmt.Errorf("%w: the number of prefixes is cut off", errSet)
	}
	n4, n6 := uint64(binary.BigEndian.Uint32(b)), uint64(binary.BigEndian.Uint32(b[4:]))
	b = b[8:]
	if n4*size4+n6*size6 > uint64(len(b)) {
		return nil, nil, fmt.Errorf("%w: %d prefixes do not fit into %d bytes", errSet, n4+n6, len(b))
	}
	if n4+n6 > 0 {
		prefixes = make([]netip.Prefix, 0, n4+n6)
	}
	for range n4 {
		prefixes = append(prefixes, netip.PrefixFrom(netip.AddrFrom4([4]byte(b)), int(b[4])))
		b = b[size4:]
	}
	for range n6 {
		prefixes = append(prefixes, netip.PrefixFrom(netip.AddrFrom16([16]byte(b)), int(b[16])))
		b = b[size6:]
	}
	return prefixes, b, checkPrefixes(prefixes)
}

// checkPrefixes says whether prefixes are sorted, disjoint, without bits behind
// their length and none of length 0.
func checkPrefixes(prefixes []netip.Prefix) error {
	for n, p := range prefixes {
		if !p.IsValid() || p.Bits() == 0 || p != p.Masked() {
			return fmt.Errorf("%w: prefix %v has a bad length or bits behind it", errSet, p)
		}
		if n == 0 {
			continue
		}
		if before := prefixes[n-1]; before.Addr().Compare(p.Addr()) >= 0 || before.Contains(p.Addr()) {
			return fmt.Errorf("%w: prefix %v comes after %v", errSet, p, before)
		}
	}
	return nil
}
