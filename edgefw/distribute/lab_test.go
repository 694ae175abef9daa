package distribute

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/plan"
	"github.com/kedge-io/kedge/edgefw/protocol"
)

func TestMain(m *testing.M) {
	// What compresses is made once and must not belong to the bubble of one test.
	wire, err := protocol.AppendPart(nil, protocol.Part{Kind: protocol.KindSet, Body: make([]byte, 1<<10)})
	if _, _, again := protocol.NewReader(bytes.NewReader(wire)).FromNode(); err != nil || again == nil {
		panic(fmt.Sprint("warm up: ", err, again))
	}
	goleak.VerifyTestMain(m)
}

// fleet is a distributor, what it compiles, and its nodes.
type fleet struct {
	*Distributor
	t *testing.T

	mu       sync.Mutex
	rulesets map[string]*model.Ruleset
	broken   error
	compiles int
	nodes    map[string]*fake
	stop     func()
}

// newFleet returns one that does not run yet.
func newFleet(t *testing.T, change func(*Config)) *fleet {
	t.Helper()
	f := &fleet{t: t, rulesets: map[string]*model.Ruleset{}, nodes: map[string]*fake{}, stop: func() {}}
	cfg := Config{Dial: f.dial, Log: slog.New(slog.DiscardHandler), Compile: f.compile}
	if change != nil {
		change(&cfg)
	}
	f.Distributor = New(cfg)
	return f
}

func (f *fleet) compile(plan.Input) plan.Compiled {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.compiles++
	return plan.Compiled{Rulesets: maps.Clone(f.rulesets)}
}

func (f *fleet) compiled() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.compiles
}

// run starts the distributor and ends it, with all nodes, at the end of the test.
func (f *fleet) run() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.Run(ctx, func() (plan.Input, error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			return plan.Input{}, f.broken
		})
	}()
	f.stop = sync.OnceFunc(func() {
		cancel()
		<-done
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, n := range f.nodes {
			n.end()
		}
	})
	f.t.Cleanup(f.stop)
}

// set changes the ruleset of nodes, as one change.
func (f *fleet) set(rs *model.Ruleset, nodes ...string) {
	f.mu.Lock()
	for _, name := range nodes {
		if f.rulesets[name] = rs; rs == nil {
			delete(f.rulesets, name)
		}
	}
	f.mu.Unlock()
	f.Kick()
}

// apply is set, and waits until all nodes answered.
func (f *fleet) apply(rs *model.Ruleset, nodes ...string) uint64 {
	f.t.Helper()
	f.set(rs, nodes...)
	ctx, cancel := context.WithTimeout(f.t.Context(), 30*time.Second)
	defer cancel()
	revision, err := f.Sync(ctx)
	if err == nil {
		err = f.Await(ctx, nil, revision)
	}
	if err != nil {
		f.t.Fatal(err)
	}
	return revision
}

func (f *fleet) state(name string) NodeState {
	for _, s := range f.States() {
		if s.Node == name {
			return s
		}
	}
	return NodeState{}
}

// await polls nothing: it looks again whenever something changed.
func (f *fleet) await(what string, ok func() bool) {
	f.t.Helper()
	limit := time.After(30 * time.Second)
	for {
		f.Distributor.mu.Lock()
		changed := f.changed
		f.Distributor.mu.Unlock()
		if ok() {
			return
		}
		select {
		case <-changed:
		case <-time.After(10 * time.Millisecond):
		case <-limit:
			f.t.Fatalf("no sign of: %s; states %+v", what, f.States())
		}
	}
}

// fake is the end of a node. What it holds survives its streams.
type fake struct {
	name string
	// handle, where set, answers updates instead of take.
	handle func(*fake, net.Conn, *protocol.Update) error
	// refuse, where set, is what dials get.
	refuse error
	// mute says no Hello, deaf reads nothing after it.
	mute, deaf bool
	// rate, where set, is how many bytes it reads in a second.
	rate int

	mu      sync.Mutex
	hold    *protocol.Holdings
	at      uint64
	updates []*protocol.Update
	bytes   int
	dials   int
	wg      sync.WaitGroup
	conns   []net.Conn
}

// join adds a node that holds rs, and connects it.
func (f *fleet) join(name string, rs *model.Ruleset, change func(*fake)) *fake {
	hold, err := protocol.Hold(rs)
	if err != nil {
		f.t.Fatal(err)
	}
	n := &fake{name: name, hold: hold}
	if change != nil {
		change(n)
	}
	f.mu.Lock()
	f.nodes[name] = n
	f.mu.Unlock()
	f.Connected(name)
	return n
}

func (f *fleet) dial(_ context.Context, name string) (net.Conn, error) {
	f.mu.Lock()
	n := f.nodes[name]
	f.mu.Unlock()
	if n == nil {
		return nil, errors.New("nobody has this name")
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dials++
	if n.refuse != nil {
		return nil, n.refuse
	}
	theirs, ours := net.Pipe()
	n.conns = append(n.conns, ours)
	n.wg.Go(func() { n.serve(ours) })
	return theirs, nil
}

func (n *fake) serve(conn net.Conn) {
	defer conn.Close()
	if n.mute {
		_, _ = conn.Read(make([]byte, 1))
		return
	}
	if n.hello(conn) != nil || n.deaf {
		n.waitEnd(conn)
		return
	}
	r := protocol.NewReader(&counting{conn, n})
	for {
		u, err := r.Update()
		if err != nil {
			return
		}
		n.mu.Lock()
		n.updates = append(n.updates, u)
		n.mu.Unlock()
		handle := (*fake).take
		if n.handle != nil {
			handle = n.handle
		}
		if handle(n, conn, u) != nil {
			return
		}
	}
}

// waitEnd reads nothing until the other end closes: a write to it fails then.
func (n *fake) waitEnd(conn net.Conn) {
	for {
		_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
		if _, err := conn.Write(nil); errors.Is(err, net.ErrClosed) || err != nil && !isTimeout(err) {
			return
		}
		<-time.After(100 * time.Millisecond)
	}
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

func (n *fake) hello(conn net.Conn) error {
	n.mu.Lock()
	h := n.hold.Hello(n.at, "test")
	n.mu.Unlock()
	return protocol.WriteHello(conn, h)
}

// take is what a good node does with an update.
func (n *fake) take(conn net.Conn, u *protocol.Update) error {
	n.mu.Lock()
	_, err := n.hold.Take(u)
	if err == nil {
		n.at = u.Revision
	}
	n.mu.Unlock()
	if errors.Is(err, protocol.ErrMissing) {
		return n.hello(conn)
	}
	ack := protocol.Ack{Revision: u.Revision, State: protocol.StateProven, Took: time.Millisecond}
	if err != nil {
		ack.State, ack.Reason = protocol.StateFailed, err.Error()
	}
	return protocol.WriteAck(conn, ack)
}

func (n *fake) root() protocol.Hash {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.hold.Manifest().Root()
}

func (n *fake) got() []*protocol.Update {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]*protocol.Update(nil), n.updates...)
}

func (n *fake) received() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.bytes
}

func (n *fake) dialled() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.dials
}

// cut ends the streams of a node.
func (n *fake) cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.conns {
		_ = c.Close()
	}
	n.conns = nil
}

func (n *fake) end() {
	n.cut()
	n.wg.Wait()
}

type counting struct {
	net.Conn
	n *fake
}

func (c *counting) Read(b []byte) (int, error) {
	if c.n.rate > 0 {
		b = b[:min(len(b), c.n.rate)]
	}
	got, err := c.Conn.Read(b)
	if c.n.rate > 0 {
		<-time.After(time.Duration(got) * time.Second / time.Duration(c.n.rate))
	}
	c.n.mu.Lock()
	c.n.bytes += got
	c.n.mu.Unlock()
	return got, err
}

// rules is a ruleset with a set of n prefixes from number first on, and the rule
// named.
func rules(rule string, first, n int) *model.Ruleset {
	set := model.Set{}
	for k := first; k < first+n; k++ {
		set.Prefixes = append(set.Prefixes, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(k >> 16), byte(k >> 8), byte(k)}), 32))
	}
	return &model.Ruleset{
		Host: model.HostRules{Ingress: model.Chain{
			Rules:   []model.HostRule{{ID: rule, Action: model.Allow, Peers: []model.SetID{"set/a"}}},
			Default: model.Deny, DefaultFrom: "test",
		}},
		Sets: map[model.SetID]model.Set{"set/a": set},
	}
}

// random is a ruleset with n prefixes that do not compress well.
func random(n int) *model.Ruleset {
	numbers := make([]uint32, n)
	source := rand.New(rand.NewPCG(1, 2))
	for k := range numbers {
		numbers[k] = source.Uint32() | 1
	}
	slices.Sort(numbers)
	set := model.Set{}
	for _, k := range slices.Compact(numbers) {
		set.Prefixes = append(set.Prefixes, netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(k >> 24), byte(k >> 16), byte(k >> 8), byte(k)}), 32))
	}
	return &model.Ruleset{Sets: map[model.SetID]model.Set{"set/random": set}}
}

func rootOf(t *testing.T, rs *model.Ruleset) protocol.Hash {
	t.Helper()
	m, err := protocol.ManifestOf(rs)
	if err != nil {
		t.Fatal(err)
	}
	return m.Root()
}

func names(prefix string, n int) []string {
	list := make([]string, n)
	for k := range list {
		list[k] = fmt.Sprintf("%s-%d", prefix, k)
	}
	return list
}
