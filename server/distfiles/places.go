package distfiles

import (
	"net/http"
	"net/netip"
	"sync"
)

const (
	// maxDownloads is how many machines take a program at a time. More are told
	// to come again: a hundred that share a thin line would all be slow.
	maxDownloads = 32
	// maxPerClient is how many of them one address may have, so that no stranger
	// has all. Machines behind one address take turns.
	maxPerClient = 4
	// perNetwork is the part of an IPv6 address that tells clients apart, in bits;
	// the rest anybody chooses for himself.
	perNetwork = 64
)

// places are the downloads in progress. The zero value has none.
type places struct {
	mu    sync.Mutex
	taken int
	by    map[netip.Prefix]int
}

// take gives client a place, or says that there is none for it now.
func (p *places) take(client netip.Prefix) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.taken >= maxDownloads || p.by[client] >= maxPerClient {
		return false
	}
	if p.by == nil {
		p.by = map[netip.Prefix]int{}
	}
	p.taken++
	p.by[client]++
	return true
}

// giveBack ends what take began.
func (p *places) giveBack(client netip.Prefix) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken--
	if p.by[client]--; p.by[client] == 0 {
		delete(p.by, client)
	}
}

// clientOf is who asks: an address, or a network of IPv6. All whose address cannot
// be read count as one.
func clientOf(r *http.Request) netip.Prefix {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Prefix{}
	}
	addr := at.Addr().Unmap().WithZone("")
	client, _ := addr.Prefix(min(addr.BitLen(), perNetwork)) // never fails: no address is that short
	return client
}
