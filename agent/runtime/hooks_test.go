package runtime

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	nri "github.com/containerd/nri/pkg/adaptation"
	"go.uber.org/goleak"

	"github.com/kedge-io/kedge/agent/runtime/pods"
	"github.com/kedge-io/kedge/internal/paths"
)

// fakeObserver writes down what it is told; block, if set, runs in Observe.
type fakeObserver struct {
	mu     sync.Mutex
	syncs  int
	pods   []pods.Sandbox
	told   []pods.Event
	block  func(ctx context.Context, e pods.Event)
	change chan struct{}
}

func newFakeObserver() *fakeObserver { return &fakeObserver{change: make(chan struct{}, 100)} }

func (o *fakeObserver) Synchronize(_ context.Context, all []pods.Sandbox, _ []pods.Container) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.syncs++
	o.pods = all
	o.change <- struct{}{}
}

func (o *fakeObserver) Observe(ctx context.Context, e pods.Event) {
	o.mu.Lock()
	o.told = append(o.told, e)
	block := o.block
	o.mu.Unlock()
	if block != nil {
		block(ctx, e)
	}
	o.change <- struct{}{}
}

func (o *fakeObserver) await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		o.mu.Lock()
		done := ok()
		o.mu.Unlock()
		if done {
			return
		}
		select {
		case <-deadline:
			t.Fatal("not within 20 s: " + what)
		case <-o.change:
		}
	}
}

func (o *fakeObserver) kinds() []pods.Kind {
	o.mu.Lock()
	defer o.mu.Unlock()
	var all []pods.Kind
	for _, e := range o.told {
		all = append(all, e.Kind)
	}
	return all
}

// hookServer is the part of containerd that speaks to plugins, without containerd.
type hookServer struct {
	t      *testing.T
	socket string
	pods   []*nri.PodSandbox
	*nri.Adaptation
}

func serveHooks(t *testing.T, socket string, list ...*nri.PodSandbox) *hookServer {
	t.Helper()
	s := &hookServer{t: t, socket: socket, pods: list}
	s.start()
	return s
}

func (s *hookServer) start() {
	s.t.Helper()
	whole := func(ctx context.Context, send nri.SyncCB) error {
		_, err := send(ctx, s.pods, nil)
		return err
	}
	update := func(context.Context, []*nri.ContainerUpdate) ([]*nri.ContainerUpdate, error) { return nil, nil }
	a, err := nri.New("test", "1", whole, update, nri.WithSocketPath(s.socket),
		nri.WithPluginPath(filepath.Join(s.t.TempDir(), "none")), nri.WithPluginConfigPath(filepath.Join(s.t.TempDir(), "none")))
	if err != nil {
		s.t.Fatal(err)
	}
	if err := a.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.Adaptation = a
}

// awaitConnected waits until events are sent, as containerd does before each.
func (s *hookServer) awaitConnected() { s.BlockPluginSync().Unblock() }

// hooks runs hooks with the observer until the test ends and returns their
// configuration and a channel that is closed when they are ready.
func runHooks(t *testing.T, o pods.Observer) (Config, <-chan struct{}) {
	t.Helper()
	dir, err := os.MkdirTemp("", "h") // socket addresses are short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	cfg := Config{Layout: paths.Layout{DataDir: dir, RunDir: dir}}
	if err := os.MkdirAll(cfg.Layout.ContainerdState(), 0o700); err != nil {
		t.Fatal(err)
	}
	h := NewHooks(cfg, o, slog.New(slog.DiscardHandler), func(error) {})
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		_ = h.Component().Run(ctx, func() { close(ready) })
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return cfg, ready
}

func testPod(id string) *nri.PodSandbox {
	return &nri.PodSandbox{
		Id: id, Uid: "uid-" + id, Namespace: "ns", Name: "pod-" + id, Pid: 7,
		Annotations: map[string]string{"a": "b"}, Ips: []string{"10.42.0.7"},
		Linux: &nri.LinuxPodSandbox{Namespaces: []*nri.LinuxNamespace{{Type: "ipc"}, {Type: "network", Path: "/run/ns"}}},
	}
}

func TestHooksTellTheWholeStateAndEveryEventInOrder(t *testing.T) {
	o := newFakeObserver()
	cfg, ready := runHooks(t, o)
	s := serveHooks(t, cfg.nriSocket(), testPod("1"))
	defer s.Stop()
	<-ready
	if len(o.pods) != 1 || o.pods[0].UID != "uid-1" || o.pods[0].NetNS != "/run/ns" || o.pods[0].Pid != 7 ||
		!slices.Equal(o.pods[0].Addrs, []netip.Addr{netip.MustParseAddr("10.42.0.7")}) {
		t.Fatalf("whole state: %+v", o.pods)
	}
	s.awaitConnected()
	ctx, pod := t.Context(), testPod("2")
	c := &nri.Container{Id: "c", PodSandboxId: "2", Name: "main", Pid: 9, Linux: &nri.LinuxContainer{CgroupsPath: "/kubepods/c"}}
	_ = s.RunPodSandbox(ctx, &nri.RunPodSandboxRequest{Pod: pod})
	_, _ = s.CreateContainer(ctx, &nri.CreateContainerRequest{Pod: pod, Container: c})
	_ = s.PostCreateContainer(ctx, &nri.PostCreateContainerRequest{Pod: pod, Container: c})
	_ = s.StartContainer(ctx, &nri.StartContainerRequest{Pod: pod, Container: c})
	_ = s.PostStartContainer(ctx, &nri.PostStartContainerRequest{Pod: pod, Container: c})
	_, _ = s.StopContainer(ctx, &nri.StopContainerRequest{Pod: pod, Container: c})
	_ = s.RemoveContainer(ctx, &nri.RemoveContainerRequest{Pod: pod, Container: c})
	_ = s.StopPodSandbox(ctx, &nri.StopPodSandboxRequest{Pod: pod})
	_ = s.RemovePodSandbox(ctx, &nri.RemovePodSandboxRequest{Pod: pod})
	// The runtime waited for each, so nothing is still to come.
	want := []pods.Kind{pods.PodStarted, pods.ContainerStarting, pods.ContainerStopped, pods.ContainerRemoved, pods.PodStopped, pods.PodRemoved}
	if got := o.kinds(); !slices.Equal(got, want) {
		t.Errorf("told %v, want %v", got, want)
	}
	if e := o.told[1]; e.Pod.ID != "2" || e.Container.ID != "c" || e.Container.Pid != 9 || e.Container.CgroupsPath != "/kubepods/c" {
		t.Errorf("container that starts: %+v", e)
	}
}

func TestHooksConnectAgainWhenTheRuntimeClosesTheConnection(t *testing.T) {
	o := newFakeObserver()
	cfg, ready := runHooks(t, o)
	dying, err := net.Listen("unix", cfg.nriSocket())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // each ends in the middle of the registration
		conn, err := dying.Accept()
		if err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Read(make([]byte, 8))
		_ = conn.Close()
	}
	_ = dying.Close()
	s := serveHooks(t, cfg.nriSocket(), testPod("3"))
	defer s.Stop()
	<-ready
	if len(o.pods) != 1 {
		t.Errorf("whole state after the second start: %+v", o.pods)
	}
}

func TestHooksOfASlowObserverDoNotHoldUpTheRuntime(t *testing.T) {
	o := newFakeObserver()
	var patience error
	o.block = func(ctx context.Context, _ pods.Event) {
		<-ctx.Done()
		patience = ctx.Err()
	}
	cfg, ready := runHooks(t, o)
	s := serveHooks(t, cfg.nriSocket())
	defer s.Stop()
	<-ready
	s.awaitConnected()
	if err := s.RunPodSandbox(t.Context(), &nri.RunPodSandboxRequest{Pod: testPod("5")}); err != nil {
		t.Fatalf("a pod was refused: %v", err)
	}
	if patience == nil {
		t.Error("the observer was not told to hurry")
	}
	if o.syncs != 1 {
		t.Error("the connection was lost, although the observer returned in time")
	}
}

func TestHooksThatHangAreDroppedByTheRuntimeAndComeBack(t *testing.T) {
	nri.SetPluginRequestTimeout(200 * time.Millisecond) // shorter than our patience
	defer nri.SetPluginRequestTimeout(nri.DefaultPluginRequestTimeout)
	o := newFakeObserver()
	released := make(chan struct{})
	o.block = func(context.Context, pods.Event) { <-released }
	cfg, ready := runHooks(t, o)
	s := serveHooks(t, cfg.nriSocket())
	defer s.Stop()
	<-ready
	s.awaitConnected()
	if err := s.RunPodSandbox(t.Context(), &nri.RunPodSandboxRequest{Pod: testPod("6")}); err != nil {
		t.Fatalf("a pod was refused: %v", err)
	}
	// Dropped: the next pod does not wait at all.
	if err := s.RunPodSandbox(t.Context(), &nri.RunPodSandboxRequest{Pod: testPod("7")}); err != nil {
		t.Fatalf("a pod was refused: %v", err)
	}
	if got := len(o.kinds()); got != 1 {
		t.Errorf("%d events reached hooks that hang, want 1", got)
	}
	close(released)
	o.await(t, "the whole state again", func() bool { return o.syncs >= 2 })
}

func TestHooksAreReadyOnlyWithTheWholeState(t *testing.T) {
	o := newFakeObserver()
	cfg, ready := runHooks(t, o)
	select {
	case <-ready:
		t.Fatal("ready without a runtime")
	case <-time.After(50 * time.Millisecond):
	}
	s := serveHooks(t, cfg.nriSocket())
	defer s.Stop()
	<-ready
	if o.syncs == 0 {
		t.Error("ready before the state was told")
	}
}

func TestHooksPutTogetherAStateThatComesInParts(t *testing.T) {
	o := newFakeObserver()
	cfg, ready := runHooks(t, o)
	// A message holds 4 MiB (ttrpc).
	var many []*nri.PodSandbox
	for n := range 40 {
		pod := testPod(fmt.Sprint(n))
		pod.Annotations = map[string]string{"large": strings.Repeat("x", 256<<10)}
		many = append(many, pod)
	}
	s := serveHooks(t, cfg.nriSocket(), many...)
	defer s.Stop()
	<-ready
	seen := map[string]bool{}
	for _, p := range o.pods {
		seen[p.ID] = true
	}
	if len(o.pods) != len(many) || len(seen) != len(many) || o.syncs != 1 {
		t.Errorf("%d pods, %d of them different, told %d times; want %d once", len(o.pods), len(seen), o.syncs, len(many))
	}
}

func TestHooksLeaveNoGoroutine(t *testing.T) {
	before := goleak.IgnoreCurrent()
	o := newFakeObserver()
	t.Run("run", func(t *testing.T) {
		cfg, ready := runHooks(t, o)
		s := serveHooks(t, cfg.nriSocket())
		<-ready
		s.Stop()
	})
	goleak.VerifyNone(t, before)
}
