package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/kedge-io/kedge/edgefw/distribute"
	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/plan"
	"github.com/kedge-io/kedge/edgefw/protocol"
	"github.com/kedge-io/kedge/tests/bench/bed"
	"github.com/kedge-io/kedge/tunnel"
	"github.com/kedge-io/kedge/tunnel/hub"
)

// firewall pushes one ruleset to all agents.
type firewall struct {
	*distribute.Distributor
	hub    *bed.Hub
	agents int

	mu      sync.Mutex
	ruleset *model.Ruleset
	changes byte
}

// entries is how many prefixes the ruleset's set has.
const entries = 1000

func newFirewall(agents int) *firewall {
	f := &firewall{agents: agents}
	f.change()
	f.Distributor = distribute.New(distribute.Config{
		Dial: f.dial, Compile: f.compile, Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	return f
}

func (f *firewall) dial(ctx context.Context, node string) (net.Conn, error) {
	conn, err := f.hub.DialFirewall(ctx, tunnel.NodeName(node))
	if errors.Is(err, hub.ErrNoFirewall) {
		err = errors.Join(err, distribute.ErrUnsupported)
	}
	return conn, err
}

// compile is instead of the plan's: all agents have the same.
func (f *firewall) compile(plan.Input) plan.Compiled {
	f.mu.Lock()
	defer f.mu.Unlock()
	rulesets := make(map[string]*model.Ruleset, f.agents)
	for n := range f.agents {
		rulesets[agentName(n)] = f.ruleset
	}
	return plan.Compiled{Rulesets: rulesets}
}

// change changes one prefix of the set.
func (f *firewall) change() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changes++
	prefixes := make([]netip.Prefix, 0, entries)
	for k := range entries - 1 {
		prefixes = append(prefixes, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(k >> 8), byte(k), 0}), 24))
	}
	prefixes = append(prefixes, netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, f.changes}), 32))
	f.ruleset = &model.Ruleset{
		Host: model.HostRules{Ingress: model.Chain{
			Rules:   []model.HostRule{{ID: "bench/ingress/fleet", Action: model.Allow, Peers: []model.SetID{"set/fleet"}}},
			Default: model.Deny, DefaultFrom: "bench",
		}},
		Sets: map[model.SetID]model.Set{"set/fleet": {Prefixes: prefixes}},
	}
}

// Up, Down and Dialled implement hub.Observer.
func (f *firewall) Up(node tunnel.NodeName, _ bool)               { f.Connected(string(node)) }
func (f *firewall) Down(node tunnel.NodeName, _ error)            { f.Gone(string(node)) }
func (f *firewall) Dialled(tunnel.NodeName, error, time.Duration) {}
func (f *firewall) source() (plan.Input, error)                   { return plan.Input{}, nil }

// changed is how long it took until all agents had acknowledged a change.
type changed struct {
	Milliseconds float64
	Error        string
}

// changeOnce answers with the time of one change.
func (f *firewall) changeOnce(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	f.change()
	revision, err := f.Sync(r.Context())
	if err == nil {
		err = f.Await(r.Context(), nil, revision)
	}
	c := changed{Milliseconds: float64(time.Since(began)) / float64(time.Millisecond)}
	if err != nil {
		c.Error = err.Error()
	}
	reply(w, c)
}

// holder is an agent's end: it takes what comes and says so.
func holder(ctx context.Context, conn net.Conn) {
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	hold, err := protocol.Hold(nil)
	if err != nil || protocol.WriteHello(conn, hold.Hello(0, "bench")) != nil {
		return
	}
	r := protocol.NewReader(conn)
	for {
		u, err := r.Update()
		if err != nil {
			return
		}
		if _, err = hold.Take(u); err != nil {
			return
		}
		if protocol.WriteAck(conn, protocol.Ack{Revision: u.Revision, State: protocol.StateProven}) != nil {
			return
		}
	}
}
