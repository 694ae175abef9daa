package firewall

import (
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	// closing is how long the links of a machine that was replaced may take to end.
	closing = 30 * time.Second
	// roamGrace is how long an address counts after a node has left it for
	// another one: packets of both are under way, and a node with two ways out
	// changes to and fro.
	roamGrace = 30 * time.Second
	// joinGrace is how long a node that has joined may take until it has its
	// Node object and its link. Images are imported meanwhile.
	joinGrace = 10 * time.Minute
)

// places knows which addresses nodes come from: from their links now, from what
// their Node objects remember, and from joins that have just been granted. Its
// methods may be called from any goroutine.
type places struct {
	// links returns the addresses of a node's link now, none without one.
	links func(node string) []netip.Addr
	now   func() time.Time

	mu    sync.Mutex
	nodes map[string]*place
}

type place struct {
	// exists tells that there is a Node object.
	exists bool
	// linked tells that the node has a link to this server now.
	linked bool
	// seen is where it comes and came from, the latest first.
	seen []sighting
	// joins is where it joins from; it counts until the time.
	joins netip.Addr
	until time.Time
	// settled tells that the time of joining is over because the node is there.
	settled bool
	// vacant is until when links are those of a machine that has just lost the
	// name: it may take a moment until they are closed.
	vacant time.Time
}

// sighting is one address and when it was last seen; with present it is seen now.
type sighting struct {
	addr    netip.Addr
	last    time.Time
	present bool
}

func newPlaces(links func(string) []netip.Addr, now func() time.Time) *places {
	return &places{links: links, now: now, nodes: map[string]*place{}}
}

// exists says that a node has its object, which remembers those addresses. It
// tells whether what counts has changed.
func (p *places) exists(node string, remembered []netip.Addr) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.nodes[node]
	if at == nil {
		at = &place{}
		p.nodes[node] = at
	}
	before, first := at.addrs(p.now()), !at.exists
	at.exists = true
	if first && len(at.seen) == 0 { // later the object only repeats what it was told
		for _, a := range remembered {
			at.seen = append(at.seen, sighting{addr: a, last: p.now()})
		}
	}
	at.look(p.links(node), p.now())
	return first || !slices.Equal(before, at.addrs(p.now()))
}

// told takes in where a node without a link here comes from by the word of another
// server, which has its link. It tells whether what counts has changed.
func (p *places) told(node string, remembered []netip.Addr) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.nodes[node]
	if at == nil || at.linked || p.now().Before(at.vacant) || len(remembered) == 0 {
		return false
	}
	before := at.addrs(p.now())
	if sameAddrs(before, remembered) {
		return false
	}
	at.seen = nil
	for _, a := range remembered {
		at.seen = append(at.seen, sighting{addr: a, last: p.now()})
	}
	return !slices.Equal(before, at.addrs(p.now()))
}

// gone says that the object of a node was deleted: all its addresses are
// forgotten at once, whatever is still connected from there.
func (p *places) gone(node string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.nodes, node)
}

// replaced says that another machine is to take a node's name. It tells whether
// anything was known of the former one.
func (p *places) replaced(node string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.nodes[node]
	if at == nil || len(at.seen) == 0 {
		return false
	}
	at.seen, at.linked, at.joins = nil, false, netip.Addr{}
	at.vacant = p.now().Add(closing)
	return true
}

// admit counts an address as that of a node that joined at a time.
func (p *places) admit(node string, addr netip.Addr, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.now().Before(at.Add(joinGrace)) {
		return
	}
	p.admitLocked(node, addr, at.Add(joinGrace))
}

func (p *places) admitLocked(node string, addr netip.Addr, until time.Time) {
	at := p.nodes[node]
	if at == nil {
		at = &place{}
		p.nodes[node] = at
	}
	at.joins, at.until, at.vacant = addr, until, time.Time{}
}

// look reads the link of a node that is known. It tells whether what counts has
// changed.
func (p *places) look(node string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.nodes[node]
	if at == nil {
		return false
	}
	before := at.addrs(p.now())
	at.look(p.links(node), p.now())
	return !slices.Equal(before, at.addrs(p.now()))
}

// expire looks at all links and forgets what is over. It tells whether what
// counts has changed.
func (p *places) expire() (changed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	for name, at := range p.nodes {
		before := at.addrs(time.Time{})
		at.look(p.links(name), now)
		at.forget(now)
		changed = changed || !slices.Equal(before, at.addrs(now))
		if !at.exists && !at.joins.IsValid() {
			delete(p.nodes, name)
			changed = true
		}
	}
	return changed
}

// of returns the addresses of a node that count, the latest first.
func (p *places) of(node string) []netip.Addr {
	p.mu.Lock()
	defer p.mu.Unlock()
	if at := p.nodes[node]; at != nil {
		return at.addrs(p.now())
	}
	return nil
}

// remember returns what the object of a node is to remember: where it comes
// from now, or where it came from when it was last seen.
func (p *places) remember(node string) []netip.Addr {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.nodes[node]
	if at == nil {
		return nil
	}
	var addrs []netip.Addr
	for _, s := range at.seen {
		if s.present || !at.linked {
			addrs = append(addrs, s.addr)
		}
	}
	if len(addrs) == 0 && at.joins.IsValid() {
		addrs = append(addrs, at.joins)
	}
	return addrs
}

// settled tells, once, that a node that joined is there.
func (p *places) settled(node string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.nodes[node]
	if at == nil || !at.settled {
		return false
	}
	at.settled = false
	return true
}

// joining returns the nodes that were let in and have no object yet, sorted.
func (p *places) joining() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var names []string
	for name, at := range p.nodes {
		if !at.exists && at.joins.IsValid() && p.now().Before(at.until) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// look notes where the link is from. A link ends the time of joining: from now
// on the link says where the node is.
func (at *place) look(links []netip.Addr, now time.Time) {
	if now.Before(at.vacant) {
		return
	}
	at.linked = len(links) > 0
	for i := range at.seen {
		s := &at.seen[i]
		if s.present && at.linked {
			s.last = now
		}
		s.present = false
	}
	for _, a := range slices.Backward(links) {
		at.seen = slices.DeleteFunc(at.seen, func(s sighting) bool { return s.addr == a })
		at.seen = slices.Insert(at.seen, 0, sighting{addr: a, last: now, present: true})
	}
	if at.linked && at.exists && at.joins.IsValid() {
		at.joins, at.settled = netip.Addr{}, true
	}
}

// forget drops what is over. A node without a link keeps what it had: it comes
// back from there, if it can.
func (at *place) forget(now time.Time) {
	if at.linked {
		at.seen = slices.DeleteFunc(at.seen, func(s sighting) bool { return !s.present && now.Sub(s.last) >= roamGrace })
	}
	if at.joins.IsValid() && !now.Before(at.until) {
		at.joins = netip.Addr{}
	}
}

// addrs are those that count at a time; at the zero time all.
func (at *place) addrs(now time.Time) []netip.Addr {
	var addrs []netip.Addr
	for _, s := range at.seen {
		if s.present || !at.linked || now.Sub(s.last) < roamGrace {
			addrs = append(addrs, s.addr)
		}
	}
	if at.joins.IsValid() && now.Before(at.until) && !slices.Contains(addrs, at.joins) {
		addrs = append(addrs, at.joins)
	}
	return addrs
}

// member tells whether a node is of the cluster: it has its object, or has just
// been let in.
func (p *places) member(node string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.nodes[node]
	return at != nil && (at.exists || at.joins.IsValid() && p.now().Before(at.until))
}

// has tells whether a node has its object.
func (p *places) has(node string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.nodes[node]
	return at != nil && at.exists
}
