package plan

import (
	"time"

	"github.com/kedge-io/kedge/agent/bandwidth/model"
	"github.com/kedge-io/kedge/internal/bitrate"
)

// Shares of an uplink's rate, in per cent.
const (
	// rootShare is what the trees let through: a little less than the line
	// carries, so that packets wait here, where they have classes, and not in the
	// modem. Ethernet's preamble, checksum and gap, which the kernel does not
	// count, are 1.6 per cent of full frames.
	rootShare = 95
	// reserveShare is what the control class is guaranteed. Three guarantees of
	// 50, 30 and 10 per cent of the line must still fit below the root.
	reserveShare = 2
	// namesShare of the reserve is for DNS, NTP and DHCP, which have a queue of
	// their own and never more than the reserve: pods can have the cluster's DNS
	// ask for as much as they like, and the link must not wait behind it.
	namesShare = 25
	// hostShare is guaranteed to host processes, of the root: an administrator's
	// shell on a line that is promised away.
	hostShare = 1
	// floorShare of the root is what all pods get together beyond guarantees, so
	// that the sum of guarantees does not starve those without one.
	floorShare = 1
)

// Bounds of a reserve that nobody named. The lower one carries the leases,
// watches and names of a node on a line of 1 Mbit/s, the upper one the same of
// any node.
const (
	MinReserve = 256 * bitrate.Kbit
	MaxReserve = 10 * bitrate.Mbit
)

// openRate is the root of an uplink whose rate is not known, which never
// limits: no line of a node carries as much.
const openRate = bitrate.Tbit

// minRate is the kernel's unit, one byte per second.
const minRate bitrate.Rate = 8

// Root is what the trees of an uplink of this rate let through.
func Root(rate bitrate.Rate) bitrate.Rate {
	if rate == 0 || rate > openRate {
		return openRate
	}
	return whole(rate.Part(rootShare, 100))
}

// Reserve is the guarantee of control and names together on an uplink. It is
// never more than half of what the tree lets through.
func Reserve(u model.Uplink, d model.Direction) bitrate.Rate {
	r := u.Reserve[d]
	if r == 0 {
		r = min(max(u.Rates[d].Part(reserveShare, 100), MinReserve), MaxReserve)
	}
	return whole(min(r, Root(u.Rates[d])/2))
}

// Capacity is what can be promised to pods on an uplink; 0 where its rate is not
// known. It does not depend on the pods.
func Capacity(u model.Uplink, d model.Direction) bitrate.Rate {
	if u.Rates[d] == 0 {
		return 0
	}
	root := Root(u.Rates[d])
	return whole(root - Reserve(u, d) - hostRate(root) - root.Part(floorShare, 100))
}

func hostRate(root bitrate.Rate) bitrate.Rate { return whole(root.Part(hostShare, 100)) }

// floorSlots is for how many pods the floor is divided at least, so that a pod
// that comes or goes does not change the classes of all others. 110 is
// kubelet's usual limit.
const floorSlots = 128

// floor is what each of so many pods gets beyond its guarantee.
func floor(root bitrate.Rate, pods int) bitrate.Rate {
	slots := floorSlots
	for slots < pods {
		slots *= 2
	}
	share := root.Part(floorShare, 100) / bitrate.Rate(slots)
	if share > bitrate.Kbit {
		share -= share % bitrate.Kbit // round figures are easier to read
	}
	return whole(share)
}

// whole rounds to bytes per second, in which the kernel counts.
func whole(r bitrate.Rate) bitrate.Rate { return max(r&^7, minRate) }

// Parameters of classes and queues; the figures are in docs/benchmarks.md.
const (
	// burstTime is how long a class may send faster than its rate. It covers the
	// kernel's timers.
	burstTime = 10 * time.Millisecond
	// smallBurst in bytes is two full packets, for slow classes, unless that is
	// more than shortTime's worth: the first second of a class must not be
	// noticeably more than the others. 16 kB made that of 1 Mbit/s 5 to 10 per
	// cent faster and nothing better.
	smallBurst = 2 * packet
	shortTime  = 120 * time.Millisecond
	// queueTime is how long a packet waits at most in a leaf that sends at its
	// ceiling.
	queueTime = 20 * time.Millisecond
	// minQueue in bytes are six full packets: 73 ms at 1 Mbit/s. Twice as many
	// wait twice as long there and carry no more, with 1 and with 8 streams.
	minQueue = 6 * packet
	// quantumTime bounds how long one class borrows before it is another's turn.
	quantumTime = time.Millisecond
	// packet in bytes is a full Ethernet frame with a VLAN tag, segment the
	// largest packet that the kernel segments later.
	packet, segment = 1_522, 65_535
	// most in bytes bounds bursts and queues of classes without a real limit.
	most = 8 << 20
)

// Burst is how many bytes a class of this rate may send at once.
func Burst(rate bitrate.Rate) uint32 {
	small := min(smallBurst, rate.Bytes(shortTime))
	return uint32(min(max(rate.Bytes(burstTime), small, packet), most))
}

// Queue is the length in bytes of the queue of a leaf with this ceiling.
func Queue(ceil bitrate.Rate) uint32 {
	return uint32(min(max(ceil.Bytes(queueTime), minQueue), most))
}

// Quantum is how many bytes a class may borrow in its turn below a parent with
// this ceiling. The kernel visits each active leaf of a pod before it goes on to
// the next pod, so containers share the turn of their pod: when all of them
// borrow, the pod has as much as others, when some are idle, less. What else
// the pod sends is as a rule little, so its leaf is not counted.
func Quantum(ceil bitrate.Rate, leaves int) uint32 {
	turn := min(max(ceil.Bytes(quantumTime), packet), segment)
	return uint32(max(turn/uint64(max(leaves, 1)), packet))
}
