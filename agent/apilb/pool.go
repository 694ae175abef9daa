package apilb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/kedge-io/kedge/tunnel"
	"github.com/kedge-io/kedge/tunnel/sock"
)

// pool knows the candidates and who uses them.
type pool struct {
	cfg Config
	log *slog.Logger
	now func() time.Time

	probes sync.WaitGroup
	wake   chan struct{} // tells the judge that something has changed

	mu      sync.Mutex
	list    []*candidate
	up      chan struct{} // closed when a candidate turns good, then another one
	waiting int           // clients that are held
	tries   int           // in a row without success, while nothing is good
	lost    time.Time     // since when nothing is good; zero while something is
	told    bool          // that it is so
	current *candidate    // where the latest client went
	led     time.Time     // when a client was led back last
}

func newPool(cfg Config, log *slog.Logger) *pool {
	p := &pool{cfg: cfg, log: log, now: time.Now, wake: make(chan struct{}, 1), up: make(chan struct{})}
	p.lost = p.now()
	p.list = []*candidate{newCandidate(cfg.Server, true, p.now())}
	return p
}

// open connects a client to the best candidate. While none can be reached it
// holds the client, for holdFor at most.
func (p *pool) open(ctx context.Context, client net.Conn, class tunnel.Lane) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, holdFor)
	defer cancel()
	p.hold(1)
	defer p.hold(-1)
	for {
		up := p.nextUp()
		l, err := p.dial(ctx, client, class)
		if err == nil {
			return l, nil
		}
		select {
		case <-up:
		case <-ctx.Done():
			return nil, err
		}
	}
}

var errNoServer = errors.New("no server can be reached")

// dial tries those candidates that are thought to work, the best first.
func (p *pool) dial(ctx context.Context, client net.Conn, class tunnel.Lane) (*link, error) {
	order := p.order()
	err := errNoServer
	for i, c := range order {
		limit := dialNext
		if i == len(order)-1 {
			limit = dialTimeout
		}
		var conn net.Conn
		if conn, err = p.dialOne(ctx, c, limit, class); err == nil {
			return p.enlist(c, client, conn), nil
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, err
}

func (p *pool) dialOne(ctx context.Context, c *candidate, limit time.Duration, class tunnel.Lane) (net.Conn, error) {
	own, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	conn, err := p.cfg.Dialer.DialContext(own, "tcp", c.addr)
	switch {
	case err == nil:
		sock.Tune(conn, class, silence)
		return conn, nil
	case ctx.Err() == nil:
		p.failed(c, err)
	}
	return nil, err
}

// order lists the candidates that get clients, the best first.
func (p *pool) order() []*candidate {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []*candidate
	for _, c := range p.list {
		if c.serves() {
			out = append(out, c)
		}
	}
	slices.SortStableFunc(out, func(a, b *candidate) int { return a.rank() - b.rank() })
	return out
}

func (p *pool) enlist(c *candidate, client, server net.Conn) *link {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := &link{client: client, server: server, candidate: c}
	if !slices.Contains(p.list, c) {
		l.drop() // just forgotten
		return l
	}
	c.links[l] = struct{}{}
	if p.current != nil && p.current != c {
		p.log.Info("clients of the API go to another address", "from", p.current.addr, "to", c.addr)
	}
	p.current = c
	return l
}

// done takes a link off the books; broke is what went wrong at the server.
func (p *pool) done(l *link, broke error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := l.candidate
	delete(c.links, l)
	if broke != nil && c.state == StateGood && slices.Contains(p.list, c) {
		p.suspect(c, broke)
	}
}

// suspect lets a probe decide. The lock is held.
func (p *pool) suspect(c *candidate, err error) {
	c.err = err
	c.next = p.now()
	c.enter(StateSuspect, c.next)
	p.nudge()
}

// failed notes that c could not be reached.
func (p *pool) failed(c *candidate, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.failed(err, p.now()) {
		p.log.Warn("server is out of reach", "server", c.addr, "error", err)
	}
	p.nudge()
}

// worked notes that c was reached and lets waiting clients go on.
func (p *pool) worked(c *candidate) {
	p.mu.Lock()
	defer p.mu.Unlock()
	suspected := c.state == StateSuspect
	if !slices.Contains(p.list, c) || !c.worked(p.now()) {
		return
	}
	if !suspected {
		p.log.Info("server is in reach", "server", c.addr)
	}
	p.lost, p.tries = time.Time{}, 0
	close(p.up)
	p.up = make(chan struct{})
	p.nudge()
}

// learn replaces the learned addresses.
func (p *pool) learn(addrs []netip.AddrPort) {
	p.mu.Lock()
	defer p.mu.Unlock()
	wanted := map[string]bool{}
	for _, a := range addrs[:min(len(addrs), maxLearned)] {
		if a.IsValid() && a.Port() != 0 && !a.Addr().IsUnspecified() && a.String() != p.cfg.Server {
			wanted[a.String()] = true
		}
	}
	p.list = slices.DeleteFunc(p.list, func(c *candidate) bool {
		if c.given || wanted[c.addr] {
			delete(wanted, c.addr)
			return false
		}
		p.log.Info("a server's address is gone", "server", c.addr)
		for l := range c.links {
			l.drop()
		}
		return true
	})
	for addr := range wanted {
		p.list = append(p.list, newCandidate(addr, false, p.now()))
	}
	p.nudge()
}

// proven lists the learned addresses where the cluster has answered, now or
// before, sorted.
func (p *pool) proven() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []string
	for _, c := range p.list {
		if !c.given && (c.kept || c.state != StateUnproven) {
			out = append(out, c.addr)
		}
	}
	slices.Sort(out)
	return out
}

func (p *pool) hold(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting += n
	if n > 0 && !p.anyGood() {
		p.urge(p.now())
		p.nudge()
	}
}

func (p *pool) nextUp() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.up
}

func (p *pool) nudge() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// dropAll ends every link.
func (p *pool) dropAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.list {
		for l := range c.links {
			l.drop()
		}
	}
}

// trouble describes why no candidate is good.
func (p *pool) trouble() error {
	var errs []error
	for _, c := range p.list {
		if c.err != nil {
			errs = append(errs, c.err)
		}
	}
	err := fmt.Errorf("%w (%d known, first %s): the node goes on with what it knows", errNoServer, len(p.list), p.cfg.Server)
	if why := errors.Join(errs...); why != nil {
		return fmt.Errorf("%w: %w", err, why)
	}
	return err
}
