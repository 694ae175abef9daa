package hostfacts

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	// keepFor is how long an address of a time server counts after it was seen:
	// daemons look a name up at their start and go on with the answer, and names of
	// pools have other addresses each time.
	keepFor = 24 * time.Hour
	// lookupLimit bounds one look at a name.
	lookupLimit = 5 * time.Second
	// maxTimeAddrs bounds the addresses that are kept; the newest stay.
	maxTimeAddrs = 256
)

// Lookup finds the addresses of a name.
type Lookup func(ctx context.Context, host string) ([]netip.Addr, error)

// Clock knows the addresses of the time servers that the host is configured with.
// Its methods may be called from any goroutine.
type Clock struct {
	root   string
	lookup Lookup

	mu   sync.Mutex
	seen map[netip.Addr]time.Time
}

// NewClock returns a clock that knows the given addresses from an earlier run.
func NewClock(root string, lookup Lookup, known []netip.Addr) *Clock {
	c := &Clock{root: root, lookup: lookup, seen: map[netip.Addr]time.Time{}}
	c.note(known)
	return c
}

// Look reads the configuration and looks its names up, which may take a while.
func (c *Clock) Look(ctx context.Context) {
	for _, name := range TimeServers(c.root) {
		if addr, err := netip.ParseAddr(name); err == nil {
			c.note([]netip.Addr{addr})
			continue
		}
		limited, cancel := context.WithTimeout(ctx, lookupLimit)
		addrs, err := c.lookup(limited, name)
		cancel()
		if err == nil {
			c.note(addrs)
		}
	}
}

// Addrs are the addresses that count now, sorted.
func (c *Clock) Addrs() []netip.Addr {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []netip.Addr
	for addr, at := range c.seen {
		if time.Since(at) < keepFor {
			out = append(out, addr)
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return out
}

func (c *Clock) note(addrs []netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	for _, a := range addrs {
		if outside(a) {
			c.seen[a.Unmap().WithZone("")] = now
		}
	}
	for len(c.seen) > maxTimeAddrs {
		c.forgetOldest()
	}
}

// forgetOldest drops one address. c.mu is held.
func (c *Clock) forgetOldest() {
	var oldest netip.Addr
	for addr, at := range c.seen {
		if !oldest.IsValid() || at.Before(c.seen[oldest]) {
			oldest = addr
		}
	}
	delete(c.seen, oldest)
}
