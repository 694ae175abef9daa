package lab

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Link is a cable between two devices. What is done to it stays until Heal.
type Link struct {
	near, far end

	mu     sync.Mutex
	shaped bool // both ends have a queueing discipline of ours
}

// end is one end of a link. near is the one towards the internet.
type end struct {
	net  *network
	name string
}

// Cut takes the carrier away, as an unplugged cable does. Addresses and routes of the far end stay.
func (l *Link) Cut() error {
	link, err := l.near.link()
	if err != nil {
		return err
	}
	return l.near.net.nl.LinkSetDown(link)
}

// BlackHole drops every packet in both directions while the carrier stays.
func (l *Link) BlackHole() error { return l.filter("drop") }

// MuteOut drops what goes from the far end towards the internet, and nothing else: the far end
// hears and is not heard, as with a half-open connection.
func (l *Link) MuteOut() error { return l.near.filter("drop") }

// MuteIn drops what goes from the internet towards the far end, and nothing else.
func (l *Link) MuteIn() error { return l.far.filter("drop") }

// Loss drops that many percent of the packets (1-100) in each direction, at random.
func (l *Link) Loss(percent int) error {
	if percent < 1 || percent > 100 {
		return fmt.Errorf("loss of %d percent: want 1 to 100", percent)
	}
	return l.filter(fmt.Sprintf("numgen random mod 100 < %d drop", percent))
}

// Slow lets through bitsPerSecond in each direction. A packet waits at most queue, what would
// wait longer is dropped.
func (l *Link) Slow(bitsPerSecond uint64, queue time.Duration) error {
	if bitsPerSecond < 8000 || queue <= 0 {
		return fmt.Errorf("slow to %d bit/s with a queue of %s: want at least 8000 bit/s and some queue", bitsPerSecond, queue)
	}
	rate := bitsPerSecond / 8
	burst := max(rate/100, 16<<10)
	waiting := min(rate*uint64(queue)/uint64(time.Second), 1<<30)
	return l.shape(bucket{rate: rate, burst: burst, limit: burst + waiting})
}

// Stall holds packets back in both directions: nothing arrives, nothing is lost, and Heal
// delivers. The first packet still gets through.
func (l *Link) Stall() error {
	const weight = 1_000_000 // every packet counts as that many bytes more than it has
	return l.shape(bucket{rate: 100, burst: weight + 64<<10, limit: 1 << 30, weight: weight})
}

// Heal ends whatever was done to the link.
func (l *Link) Heal() error {
	l.mu.Lock()
	shaped := l.shaped
	l.mu.Unlock()
	if shaped {
		// Changed rather than removed, so that what is held back is delivered.
		if err := l.shape(bucket{rate: 5 << 30, burst: 64 << 20, limit: 128 << 20}); err != nil {
			return err
		}
	}
	if err := l.filter(""); err != nil {
		return err
	}
	link, err := l.near.link()
	if err != nil {
		return err
	}
	return l.near.net.nl.LinkSetUp(link)
}

// filter replaces the rule that every packet meets where it comes out of the link.
func (l *Link) filter(rule string) error {
	return errors.Join(l.near.filter(rule), l.far.filter(rule))
}

func (l *Link) shape(b bucket) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.shaped = true
	return errors.Join(l.near.shape(b), l.far.shape(b))
}

func (e end) link() (netlink.Link, error) {
	link, err := e.net.nl.LinkByName(e.name)
	if err != nil {
		return nil, fmt.Errorf("link %s: %w", e.name, err)
	}
	return link, nil
}

func (e end) filter(rule string) error {
	table := "lab-" + e.name
	script := fmt.Sprintf("add table netdev %[1]s\ndelete table netdev %[1]s\n", table)
	if rule != "" {
		script += fmt.Sprintf("table netdev %s { chain in { type filter hook ingress device %s priority 0; %s; }; }\n",
			table, e.name, rule)
	}
	return e.net.nft(script)
}

// bucket is a token bucket (tc-tbf(8)) with sizes in bytes and the rate in bytes per second.
type bucket struct {
	rate, burst, limit uint64
	weight             int32
}

func (e end) shape(b bucket) error {
	link, err := e.link()
	if err != nil {
		return err
	}
	// The request opens a socket of its own, so it is made from inside the namespace.
	if err := e.net.do(func() error { return b.apply(link.Attrs().Index) }); err != nil {
		return fmt.Errorf("shape %s: %w", e.name, err)
	}
	return nil
}

// apply makes or changes the root queueing discipline. The message is put together here because
// the library has no size tables, which is where a packet gets its weight (linux/pkt_sched.h,
// struct tc_sizespec; net/sched/sch_api.c, __qdisc_calculate_pkt_len).
func (b bucket) apply(device int) error {
	const handle = 0x10000
	req := nl.NewNetlinkRequest(unix.RTM_NEWQDISC, unix.NLM_F_CREATE|unix.NLM_F_REPLACE|unix.NLM_F_ACK)
	req.AddData(&nl.TcMsg{
		Family: nl.FAMILY_ALL, Ifindex: int32(device), Handle: handle, Parent: netlink.HANDLE_ROOT,
	})
	req.AddData(nl.NewRtAttr(nl.TCA_KIND, nl.ZeroTerminated("tbf")))
	opt := nl.TcTbfQopt{Limit: uint32(min(b.limit, 1<<31))}
	opt.Rate.Rate = uint32(min(b.rate, 1<<32-1))
	options := nl.NewRtAttr(nl.TCA_OPTIONS, nil)
	options.AddRtAttr(nl.TCA_TBF_PARMS, opt.Serialize())
	// In bytes; the field of opt is in time and ends at four seconds.
	options.AddRtAttr(nl.TCA_TBF_BURST, nl.Uint32Attr(uint32(b.burst)))
	if b.rate >= 1<<32 {
		options.AddRtAttr(nl.TCA_TBF_RATE64, nl.Uint64Attr(b.rate))
	}
	req.AddData(options)
	if b.weight > 0 {
		stab := nl.NewRtAttr(nl.TCA_STAB, nil)
		stab.AddRtAttr(1 /* TCA_STAB_BASE */, sizeSpec(b.weight))
		req.AddData(stab)
	}
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

// sizeSpec is struct tc_sizespec with an overhead and no table.
func sizeSpec(overhead int32) []byte {
	const size, overheadAt = 24, 4
	spec := make([]byte, size)
	nl.NativeEndian().PutUint32(spec[overheadAt:], uint32(overhead))
	return spec
}
