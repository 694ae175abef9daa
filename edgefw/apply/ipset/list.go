package ipset

import (
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/edgefw/apply/nfnl"
)

// Info is what the kernel says of a set.
type Info struct {
	Name string
	Kind Kind
	IPv6 bool
	// Entries is how many it holds, Rules how many rules use it.
	Entries, Rules int
}

// List returns the sets whose names begin with prefix, by name.
func (h *Handle) List(prefix string) ([]Info, error) {
	m := request(cmdList, 0)
	m.PutUint32(attrFlags, listHeader)
	var list []Info
	err := h.conn.Dump(m, func(_ nfnl.Header, body []byte) error {
		if i := info(body); strings.HasPrefix(i.Name, prefix) {
			list = append(list, i)
		}
		return nil
	})
	if err != nil {
		return nil, wrap("listing", prefix+"*", err)
	}
	slices.SortFunc(list, func(a, b Info) int { return strings.Compare(a.Name, b.Name) })
	return slices.CompactFunc(list, func(a, b Info) bool { return a.Name == b.Name }), nil
}

func info(body []byte) Info {
	var i Info
	for kind, value := range nfnl.Attributes(body) {
		switch kind {
		case attrSetname:
			i.Name = nfnl.Text(value)
		case attrTypename:
			i.Kind = Kind(nfnl.Text(value))
		case attrFamily:
			i.IPv6 = nfnl.Byte(value) == unix.AF_INET6
		case attrData:
			i.Entries = int(nfnl.Uint32(nfnl.Attribute(value, attrElements)))
			i.Rules = int(nfnl.Uint32(nfnl.Attribute(value, attrReferences)))
		}
	}
	return i
}

// Entries returns what a set holds, sorted by address and then by length. Of a set
// that is changed meanwhile, some may be missing.
func (h *Handle) Entries(name string) ([]netip.Prefix, error) {
	var list []netip.Prefix
	err := h.conn.Dump(named(cmdList, 0, name), func(_ nfnl.Header, body []byte) error {
		list = appendEntries(list, nfnl.Attribute(body, attrADT))
		return nil
	})
	if err != nil {
		return nil, wrap("listing", name, err)
	}
	slices.SortFunc(list, netip.Prefix.Compare)
	return slices.Compact(list), nil
}

func appendEntries(list []netip.Prefix, all []byte) []netip.Prefix {
	for kind, data := range nfnl.Attributes(all) {
		if kind != attrData {
			continue
		}
		if p, ok := entry(data); ok {
			list = append(list, p)
		}
	}
	return list
}

// entry reads one entry; without a length it is one address.
func entry(data []byte) (netip.Prefix, bool) {
	var addr netip.Addr
	length := -1
	for kind, value := range nfnl.Attributes(data) {
		switch kind {
		case attrIP:
			for _, b := range nfnl.Attributes(value) {
				addr, _ = netip.AddrFromSlice(b)
			}
		case attrCIDR:
			length = int(nfnl.Byte(value))
		}
	}
	if length < 0 {
		length = addr.BitLen()
	}
	p, err := addr.Prefix(length)
	return p, err == nil
}
