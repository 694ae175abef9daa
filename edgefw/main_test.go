package edgefw

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/kedge-io/kedge/edgefw/apply"
	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/protocol"
	"github.com/kedge-io/kedge/edgefw/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeKernel has what was wished last.
type fakeKernel struct {
	mu     sync.Mutex
	wishes []apply.Wish
	fail   error
	former []apply.Counter
	cuts   int
	reject func(apply.Wish) bool
	// half: such a wish is taken, and there is an error all the same.
	half func(apply.Wish) bool
}

func (k *fakeKernel) Apply(_ context.Context, w apply.Wish) (apply.Result, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fail != nil || k.reject != nil && k.reject(w) {
		return apply.Result{}, errors.Join(errors.New("the kernel refuses"), k.fail)
	}
	way := apply.Generation
	if n := len(k.wishes); n > 0 && sameWish(k.wishes[n-1], w) {
		way = apply.Nothing
	}
	k.wishes = append(k.wishes, w)
	if k.half != nil && k.half(w) {
		return apply.Result{}, errors.New("the kernel takes a part")
	}
	return apply.Result{Way: way, Took: time.Millisecond, Former: k.former}, nil
}

func sameWish(a, b apply.Wish) bool {
	ca, _ := newCandidate(0, a.Ruleset, nil, a.Local.Names)
	cb, _ := newCandidate(0, b.Ruleset, nil, b.Local.Names)
	return ca.same(cb) && sameNames(a.Local.Pods, b.Local.Pods)
}

func (k *fakeKernel) Counters() ([]apply.Counter, error) { return nil, nil }
func (k *fakeKernel) Observe(context.Context) (apply.Observation, error) {
	return apply.Observation{Equal: true}, nil
}

func (k *fakeKernel) Cut(context.Context, func(model.Packet) bool) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.cuts++
	return 0, nil
}

func (k *fakeKernel) Watch(ctx context.Context, _ func()) error { <-ctx.Done(); return ctx.Err() }
func (k *fakeKernel) Drops(ctx context.Context, _ func(apply.Drop)) error {
	<-ctx.Done()
	return ctx.Err()
}

// now is what the kernel has.
func (k *fakeKernel) now() apply.Wish {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.wishes) == 0 {
		return apply.Wish{Ruleset: &model.Ruleset{}}
	}
	return k.wishes[len(k.wishes)-1]
}

// hostOf is the name of the default of what is in force: the tests' word for a
// version of the host's rules.
func (k *fakeKernel) hostOf() string { return k.now().Ruleset.Host.Egress.DefaultFrom }

func (k *fakeKernel) refuse(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.fail = err
}

// world is a loop with everything around it in memory.
type world struct {
	t       *testing.T
	kernel  *fakeKernel
	file    string
	reach   atomic.Pointer[func(apply.Wish) error]
	proofs  atomic.Int32
	loop    *Loop
	mu      sync.Mutex
	notices []Notice
	trouble error
	lookup  func(string) ([]netip.Addr, error)
	stop    func()
}

// inWorld runs f in fake time.
func inWorld(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, kernel: &fakeKernel{}, file: filepath.Join(dir, "firewall.json")}
		w.lookup = func(string) ([]netip.Addr, error) { return nil, errors.New("no resolver") }
		w.reaches(func(apply.Wish) error { return nil })
		w.start()
		defer func() { w.stop() }()
		f(t, w)
	})
}

// reaches says under which rules the server is within reach.
func (w *world) reaches(f func(apply.Wish) error) { w.reach.Store(&f) }

func (w *world) start() {
	w.t.Helper()
	var err error
	w.loop, err = New(Config{
		Kernel: w.kernel, File: w.file, PodsFile: filepath.Join(filepath.Dir(w.file), "pods.json"), Software: "test",
		Prove: func(ctx context.Context) error {
			w.proofs.Add(1)
			if err := (*w.reach.Load())(w.kernel.now()); err != nil {
				<-ctx.Done() // packets are dropped
				return err
			}
			return nil
		},
		Facts: func() model.Facts { return model.Facts{} }, Addresses: func() []netip.Addr { return nil },
		Lookup: func(_ context.Context, name string) ([]netip.Addr, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.lookup(name)
		},
		Tell: func(n Notice) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.notices = append(w.notices, n)
		},
		Report: func(err error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.trouble = err
		},
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = w.loop.Run(ctx, func() {})
	}()
	w.stop = func() { cancel(); <-done }
	synctest.Wait()
}

// told are the kinds of notices up to now.
func (w *world) told() []NoticeKind {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []NoticeKind
	for _, n := range w.notices {
		out = append(out, n.Kind)
	}
	return out
}

func after(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// server is the other end of a stream.
type server struct {
	w    *world
	conn net.Conn
	hold *protocol.Holdings
	end  func()

	mu     sync.Mutex
	hellos []protocol.Hello
	acks   []protocol.Ack
}

// connect opens a stream to the loop.
func (w *world) connect() *server {
	ours, theirs := net.Pipe()
	hold, err := protocol.Hold(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	s := &server{w: w, conn: ours, hold: hold}
	var both sync.WaitGroup
	both.Go(func() { w.loop.Serve(w.t.Context(), theirs) })
	both.Go(s.read)
	s.end = func() { _ = ours.Close(); both.Wait() }
	synctest.Wait()
	return s
}

func (s *server) read() {
	r := protocol.NewReader(s.conn)
	for {
		hello, ack, err := r.FromNode()
		if err != nil {
			return
		}
		s.mu.Lock()
		if hello != nil {
			s.hellos = append(s.hellos, *hello)
		} else {
			s.acks = append(s.acks, *ack)
		}
		s.mu.Unlock()
	}
}

// send pushes a whole ruleset.
func (s *server) send(revision uint64, rs *model.Ruleset) {
	s.w.t.Helper()
	u, err := whole(revision, rs)
	if err != nil {
		s.w.t.Fatal(err)
	}
	data, err := protocol.AppendUpdate(nil, u)
	if err != nil {
		s.w.t.Fatal(err)
	}
	if _, err := s.conn.Write(data); err != nil {
		s.w.t.Fatal(err)
	}
	after(2 * gather)
}

// whole is an update that has all of a ruleset and drops what the tests use else.
func whole(revision uint64, rs *model.Ruleset) (protocol.Update, error) {
	m, err := protocol.ManifestOf(rs)
	if err != nil {
		return protocol.Update{}, err
	}
	u := protocol.Update{Revision: revision, Root: m.Root()}
	for _, id := range []model.SetID{"set/a", "set/b", "dns/a.example", "pods/a"} {
		if _, ok := rs.Sets[id]; !ok {
			u.Drop = append(u.Drop, id)
		}
	}
	add := func(kind protocol.Kind, id model.SetID, body []byte, err2 error) {
		err = errors.Join(err, err2)
		u.Parts = append(u.Parts, protocol.Part{Kind: kind, Set: id, Body: body})
	}
	body, e := protocol.EncodeHost(rs.Host)
	add(protocol.KindHost, "", body, e)
	body, e = protocol.EncodePods(rs.Pods)
	add(protocol.KindPods, "", body, e)
	for id, set := range rs.Sets {
		body, e = protocol.EncodeSet(set)
		add(protocol.KindSet, id, body, e)
	}
	return u, err
}

// last is the latest acknowledgement.
func (s *server) last() protocol.Ack {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.acks) == 0 {
		return protocol.Ack{}
	}
	return s.acks[len(s.acks)-1]
}

// states are those of all acknowledgements of a revision.
func (s *server) states(revision uint64) []protocol.State {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []protocol.State
	for _, a := range s.acks {
		if a.Revision == revision {
			out = append(out, a.State)
		}
	}
	return out
}

// rules are host rules of that version, with sets.
func rules(version string, sets map[model.SetID]model.Set) *model.Ruleset {
	rs := &model.Ruleset{Host: model.HostRules{Egress: model.Chain{Default: model.Deny, DefaultFrom: version}}, Sets: sets}
	for id := range sets {
		rs.Host.Egress.Rules = append(rs.Host.Egress.Rules, model.HostRule{ID: "f/egress/" + string(id), Action: model.Allow, Peers: []model.SetID{id}})
	}
	slices.SortFunc(rs.Host.Egress.Rules, func(a, b model.HostRule) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return rs
}

func set(prefixes ...string) model.Set {
	var s model.Set
	for _, p := range prefixes {
		s.Prefixes = append(s.Prefixes, netip.MustParsePrefix(p))
	}
	return s
}

// onDisk is what the file has.
func (w *world) onDisk() *store.State {
	w.t.Helper()
	s, err := store.Read(w.file)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}
