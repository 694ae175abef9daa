package apilb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/internal/lifecycle"
	"github.com/kedge-io/kedge/tunnel"
)

// keepEvery is how often the service's address and rules are compared with
// what they should be.
const keepEvery = 15 * time.Second

// Endpoint forwards a node's API clients.
type Endpoint struct {
	cfg  Config
	log  *slog.Logger
	pool *pool

	mu      sync.Mutex
	service error // trouble with the service's address
	servers error // trouble with all servers
}

// door is one address with a bound on its clients.
type door struct {
	net.Listener
	slots chan struct{}
	class tunnel.Lane // of the connections to servers
}

func newDoor(l net.Listener, clients int, class tunnel.Lane) door {
	return door{l, make(chan struct{}, clients), class}
}

// New checks cfg and returns an endpoint that does nothing until Run.
func New(cfg Config, log *slog.Logger) (*Endpoint, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if cfg.Report == nil {
		cfg.Report = func(error) {}
	}
	e := &Endpoint{cfg: cfg, log: log.With("component", Name)}
	own := cfg
	own.Report = func(err error) { e.report(&e.servers, err) }
	e.pool = newPool(own, e.log)
	return e, nil
}

// Component returns the endpoint for a group. It is ready when a server was
// reached, or when it listens but none was reached for readyWithin: a node must
// start without its server.
func (e *Endpoint) Component(needs ...string) lifecycle.Component {
	return lifecycle.Component{Name: Name, Needs: needs, Run: e.Run}
}

// Run serves until ctx ends.
func (e *Endpoint) Run(ctx context.Context, ready func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	doors, err := e.listen(ctx)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		for _, d := range doors {
			_ = d.Close()
		}
		e.pool.dropAll()
	})
	defer stop()
	e.pool.recall()
	wg.Go(func() { e.pool.judge(ctx) })
	wg.Go(func() { e.awaitServer(ctx); ready() })
	wg.Go(func() { e.learn(ctx) })
	wg.Go(func() { e.keepService(ctx) })
	ended := make(chan error, len(doors))
	for _, d := range doors {
		wg.Go(func() { ended <- e.accept(ctx, d, &wg) })
	}
	err = <-ended
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// awaitServer waits for the first server, but not for long.
func (e *Endpoint) awaitServer(ctx context.Context) {
	up := e.pool.nextUp()
	timer := time.NewTimer(readyWithin)
	defer timer.Stop()
	if len(e.pool.order()) > 0 {
		return
	}
	select {
	case <-up:
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (e *Endpoint) listen(ctx context.Context) ([]door, error) {
	l, err := net.Listen("tcp", e.cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen for the node's API clients (is another node running on this host?): %w", err)
	}
	doors := []door{newDoor(l, MaxOwn, classOwn)}
	if !e.cfg.Service.IsValid() {
		return doors, nil
	}
	// The address may not be on lo yet.
	free := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var set error
		err := c.Control(func(fd uintptr) { set = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_FREEBIND, 1) })
		return errors.Join(err, set)
	}}
	at := e.cfg.serviceEndpoint().String()
	if l, err = free.Listen(ctx, "tcp4", at); err != nil {
		_ = doors[0].Close()
		return nil, fmt.Errorf("listen for the API clients of pods on %s (another program may have port %d of every address; see: ss -lntp 'sport = :%d'): %w", at, servicePort, servicePort, err)
	}
	return append(doors, newDoor(l, MaxClients, classPods)), nil
}

// accept takes clients until the listener is closed.
func (e *Endpoint) accept(ctx context.Context, d door, wg *sync.WaitGroup) error {
	for {
		client, err := d.Accept()
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accept an API client: %w", err)
		default: // out of descriptors or memory: somebody will give some back
			e.report(&e.service, fmt.Errorf("accept an API client: %w", err))
			if !lifecycle.Pause(ctx, 100*time.Millisecond) {
				return ctx.Err()
			}
			continue
		}
		select {
		case d.slots <- struct{}{}:
			wg.Go(func() {
				defer func() { <-d.slots }()
				e.forward(ctx, client, d.class)
			})
		default:
			_ = client.Close()
		}
	}
}

func (e *Endpoint) forward(ctx context.Context, client net.Conn, class tunnel.Lane) {
	defer func() { _ = client.Close() }()
	l, err := e.pool.open(ctx, client, class)
	if err != nil {
		return // closing the client makes it retry
	}
	defer l.close()
	if ctx.Err() != nil {
		return // dropAll may have come before the link was listed
	}
	e.pool.done(l, l.carry())
}

// learn keeps the learned addresses current.
func (e *Endpoint) learn(ctx context.Context) {
	if e.cfg.Learn == nil {
		return
	}
	err := e.cfg.Learn(ctx, func(addrs []netip.AddrPort) {
		e.pool.learn(addrs)
		e.pool.save()
	})
	if err != nil && ctx.Err() == nil {
		e.log.Warn("addresses of other servers are not learned", "error", err)
	}
}

// report tells of both kinds of trouble as one.
func (e *Endpoint) report(kind *error, err error) {
	e.mu.Lock()
	*kind = err
	all := errors.Join(e.servers, e.service)
	e.mu.Unlock()
	e.cfg.Report(all)
}
