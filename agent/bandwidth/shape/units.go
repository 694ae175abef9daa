package shape

import (
	"math"

	"github.com/kedge-io/kedge/agent/bandwidth/plan"
	"github.com/kedge-io/kedge/internal/bitrate"
)

// The kernel keeps rates in bytes per second and bursts as the time that they
// take at the rate, in ticks of 64 ns (PSCHED_SHIFT of net/pkt_sched.h).
const (
	bits = 8
	tick = 64 // ns
)

// whole is the rate that the kernel makes of r.
func whole(r bitrate.Rate) bitrate.Rate { return max(r/bits, 1) * bits }

// ticks is the time of bytes at r, rounded up.
func ticks(bytes uint32, r bitrate.Rate) uint32 {
	perSecond := uint64(max(r/bits, 1))
	ns := uint64(bytes) * 1_000_000_000 / perSecond
	return uint32(min((ns+tick-1)/tick, math.MaxUint32))
}

// bytes is the burst that t ticks are at r.
func bytes(t uint32, r bitrate.Rate) uint32 {
	perSecond := uint64(max(r/bits, 1))
	ns := uint64(t) * tick
	seconds, rest := ns/1_000_000_000, ns%1_000_000_000
	return uint32(min(seconds*perSecond+rest*perSecond/1_000_000_000, math.MaxUint32))
}

// readBack is what the kernel's ticks leave of a burst.
func readBack(burst uint32, r bitrate.Rate) uint32 { return bytes(ticks(burst, r), whole(r)) }

// Packets inside of a host are joined to up to 64 KiB: 52 ms at 10 Mbit/s for
// all that wait behind, and more than a short queue holds. Below segmentBelow
// the leaf cuts them; above, 64 KiB take less than segmentTime and cutting would
// cost processor time.
const (
	segmentBelow = 200 * bitrate.Mbit
	uncut        = 1 << 18
	// frame is what a packet has besides its MTU: Ethernet and two VLAN tags.
	frame       = 14 + 8
	ethernetMTU = 1500
)

func largestOf(ceil bitrate.Rate, largest uint32) uint32 {
	if ceil < segmentBelow {
		return largest
	}
	return uncut
}

// largest is the longest packet on the wires of u; a longer one that cannot be
// cut would be dropped.
func (f Facts) largest(u plan.Uplink) uint32 {
	mtu := max(ethernetMTU, f.Links[u.Index])
	for _, p := range u.Pods {
		mtu = max(mtu, f.Links[p.Link])
	}
	return uint32(mtu + frame)
}
