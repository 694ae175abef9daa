package inventory

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/agent/bandwidth/cgroup"
	"github.com/kedge-io/kedge/agent/bandwidth/model"
	"github.com/kedge-io/kedge/agent/runtime/pods"
)

// fakeKernel finds what its maps say; pods are named by their netns path.
type fakeKernel struct {
	mu       sync.Mutex
	places   map[string]place
	holders  map[int]place
	vanished func(int)
}

func (k *fakeKernel) locate(netns string, holder int) (place, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if p, ok := k.places[netns]; ok {
		return p, nil
	}
	if p, ok := k.holders[holder]; ok {
		return p, nil
	}
	return nowhere, errNoNS
}

func (k *fakeKernel) watch(vanished func(int)) (func(), error) {
	k.vanished = vanished
	return func() {}, nil
}

func (k *fakeKernel) set(netns string, p place) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.places[netns] = p
}

// fakeFolders gives the identity 1000+pid.
type fakeFolders struct {
	mu       sync.Mutex
	err      error
	kept     []string
	dropped  []string
	gathered []int
}

func (f *fakeFolders) Identify(_ context.Context, c cgroup.Container) (uint64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return 0, f.err
	}
	return uint64(1000 + c.Pid), nil
}

func (f *fakeFolders) Gather(_ context.Context, c cgroup.Container) error {
	f.gathered = append(f.gathered, c.Pid)
	return nil
}

func (f *fakeFolders) Drop(id string) error {
	f.dropped = append(f.dropped, id)
	return unix.EBUSY
}

func (f *fakeFolders) Keep(ids []string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.kept = slices.Sorted(slices.Values(ids))
	return nil
}

type bed struct {
	*Inventory
	kernel  *fakeKernel
	folders *fakeFolders
	mu      sync.Mutex
	trouble error
}

func newBed() *bed {
	b := &bed{
		kernel:  &fakeKernel{places: map[string]place{"/ns/1": {link: 11, netnsID: 1}, "/ns/2": {link: 12, netnsID: 2}}, holders: map[int]place{}},
		folders: &fakeFolders{},
	}
	b.Inventory = newInventory(b.folders, b.kernel, slog.New(slog.DiscardHandler), func(err error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.trouble = err
	})
	return b
}

func (b *bed) reported() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.trouble
}

func podOf(n string) pods.Sandbox {
	return pods.Sandbox{
		ID: "sandbox" + n, UID: "uid" + n, Namespace: "ns", Name: "pod" + n, Pid: 100, NetNS: "/ns/" + n,
		Annotations: map[string]string{"kubernetes.io/egress-bandwidth": "10M"},
		Addrs:       []netip.Addr{netip.MustParseAddr("fd00::5"), netip.MustParseAddr("10.42.0.5")},
	}
}

func containerOf(pod, name string, pid int) pods.Container {
	return pods.Container{
		ID: name + "-id", Sandbox: "sandbox" + pod, Name: name, Pid: pid,
		Annotations: map[string]string{"io.kubernetes.container.ports": `[{"containerPort":80},{"containerPort":53,"protocol":"UDP"}]`},
	}
}

func (b *bed) tell(kind pods.Kind, pod pods.Sandbox, c pods.Container) {
	b.Observe(context.Background(), pods.Event{Kind: kind, Pod: pod, Container: c})
}

func TestAPodIsFollowedFromItsStartToItsEnd(t *testing.T) {
	b := newBed()
	b.tell(pods.PodStarted, podOf("1"), pods.Container{})
	b.tell(pods.ContainerStarting, podOf("1"), containerOf("1", "web", 7))
	b.tell(pods.ContainerStarting, podOf("1"), containerOf("1", "app", 8))
	got, revision := b.Pods()
	if len(got) != 1 || revision != 3 {
		t.Fatalf("%d pods at revision %d: %+v", len(got), revision, got)
	}
	p := got[0]
	if p.UID != "uid1" || p.Link != 11 || p.NetnsID != 1 || p.HostNetwork || p.Addr.String() != "10.42.0.5" ||
		p.Annotations["kubernetes.io/egress-bandwidth"] != "10M" {
		t.Errorf("pod: %+v", p)
	}
	want := []model.Port{{Protocol: unix.IPPROTO_TCP, Number: 80}, {Protocol: unix.IPPROTO_UDP, Number: 53}}
	if len(p.Containers) != 2 || p.Containers[0].Name != "app" || p.Containers[0].Cgroup != 1008 ||
		p.Containers[1].Cgroup != 1007 || !slices.Equal(p.Containers[1].Ports, want) {
		t.Errorf("containers: %+v", p.Containers)
	}
	b.tell(pods.ContainerStopped, podOf("1"), containerOf("1", "web", 0))
	b.tell(pods.ContainerRemoved, podOf("1"), containerOf("1", "web", 0))
	if got, revision := b.Pods(); len(got[0].Containers) != 1 || revision != 4 {
		t.Errorf("revision %d after a container ended: %+v", revision, got)
	}
	if !slices.Contains(b.folders.dropped, "web-id") {
		t.Error("the folder of a container that ended was kept")
	}
	b.tell(pods.PodStopped, podOf("1"), pods.Container{})
	b.tell(pods.PodRemoved, podOf("1"), pods.Container{})
	if got, revision := b.Pods(); len(got) != 0 || revision != 5 {
		t.Errorf("revision %d after the pod ended: %+v", revision, got)
	}
}

func TestTheWholeStateReplacesWhatWasKnown(t *testing.T) {
	b := newBed()
	b.tell(pods.PodStarted, podOf("1"), pods.Container{})
	dead := pods.Sandbox{ID: "dead", UID: "uid2", Namespace: "ns", Name: "pod2"} // its former sandbox
	b.Synchronize(t.Context(), []pods.Sandbox{dead, podOf("2")},
		[]pods.Container{containerOf("2", "web", 9), containerOf("2", "made", 0), containerOf("lost", "x", 3)})
	got, _ := b.Pods()
	if len(got) != 1 || got[0].Name != "pod2" || got[0].Link != 12 || len(got[0].Containers) != 1 {
		t.Errorf("pods: %+v", got)
	}
	if !slices.Equal(b.folders.kept, []string{"web-id"}) {
		t.Errorf("kept folders %v", b.folders.kept)
	}
	_, before := b.Pods()
	b.Synchronize(t.Context(), []pods.Sandbox{podOf("2")}, []pods.Container{containerOf("2", "web", 9)})
	if _, after := b.Pods(); after != before {
		t.Error("the same state counts as a change")
	}
}

func TestAnEmptyNodeIsHeardOfToo(t *testing.T) {
	b := newBed()
	if _, revision := b.Pods(); revision != 0 {
		t.Errorf("revision %d before anything was heard", revision)
	}
	b.Synchronize(t.Context(), nil, nil)
	if got, revision := b.Pods(); revision == 0 || len(got) != 0 {
		t.Errorf("revision %d, %d pods", revision, len(got))
	}
}

func TestPodsOfTheHostsNetworkHaveNoLink(t *testing.T) {
	b := newBed()
	b.kernel.holders[100] = place{hostNetwork: true, netnsID: -1}
	pod := podOf("3")
	pod.NetNS = ""
	b.tell(pods.PodStarted, pod, pods.Container{})
	b.tell(pods.ContainerStarting, pod, containerOf("3", "bird", 5))
	got, _ := b.Pods()
	if len(got) != 1 || !got[0].HostNetwork || got[0].Link != 0 || got[0].NetnsID != -1 || got[0].Addr.IsValid() ||
		got[0].Containers[0].Cgroup != 1005 {
		t.Errorf("pods: %+v", got)
	}
}

func TestThePodWithAProcessCountsWhenASandboxIsMadeAnew(t *testing.T) {
	b := newBed()
	former := podOf("1")
	former.Pid = 0
	again := podOf("2")
	again.ID, again.UID, again.Name = "another", former.UID, former.Name
	b.Synchronize(t.Context(), []pods.Sandbox{former, again}, nil)
	if got, _ := b.Pods(); len(got) != 1 || got[0].Link != 12 {
		t.Errorf("pods: %+v", got)
	}
}

func TestAContainerOfAPodThatWasMissedBringsItsPod(t *testing.T) {
	b := newBed()
	b.tell(pods.ContainerStarting, podOf("1"), containerOf("1", "web", 7))
	if got, _ := b.Pods(); len(got) != 1 || len(got[0].Containers) != 1 || got[0].Name != "pod1" {
		t.Errorf("pods: %+v", got)
	}
}

func TestAddedProcessesAreGathered(t *testing.T) {
	b := newBed()
	b.tell(pods.ProcessAdded, pods.Sandbox{}, pods.Container{ID: "web-id", Pid: 55})
	if !slices.Equal(b.folders.gathered, []int{55}) {
		t.Errorf("gathered %v", b.folders.gathered)
	}
}

func TestTheRuntimeWaitsForTheKernel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed()
		changed := b.Subscribe()
		told := make(chan struct{})
		go func() {
			b.tell(pods.PodStarted, podOf("1"), pods.Container{})
			close(told)
		}()
		<-changed
		synctest.Wait()
		select {
		case <-told:
			t.Fatal("the runtime went on before the change was applied")
		default:
		}
		_, revision := b.Pods()
		b.Applied(revision - 1)
		synctest.Wait()
		select {
		case <-told:
			t.Fatal("the runtime went on with an older state")
		default:
		}
		b.Applied(revision)
		<-told
	})
}

func TestTheRuntimeWaitsOnceForALoopThatIsStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed()
		b.Subscribe()
		start := func(n string) time.Duration {
			began := time.Now() // of the bubble
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			b.Observe(ctx, pods.Event{Kind: pods.PodStarted, Pod: podOf(n)})
			return time.Since(began)
		}
		if took := start("1"); took != time.Second {
			t.Errorf("the first pod waited %s", took)
		}
		if took := start("2"); took != 0 {
			t.Errorf("the second pod waited %s", took)
		}
		_, revision := b.Pods()
		b.Applied(revision)
		b.tell(pods.PodStopped, podOf("1"), pods.Container{}) // ends do not wait
		go func() {
			_, revision := b.Pods()
			b.Applied(revision + 1)
		}()
		if took := start("1"); took != 0 {
			t.Errorf("a pod waited %s for a loop that works again", took)
		}
	})
}

func TestNobodyIsWaitedForWhereNobodyListens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed()
		b.tell(pods.PodStarted, podOf("1"), pods.Container{}) // would never return
	})
}

func TestWhatCannotBeFoundIsLookedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed()
		changed := b.Subscribe()
		b.Applied(1 << 40) // whatever comes is in the kernel
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- b.Run(ctx) }()
		b.folders.err = errors.New("no such folder")
		b.tell(pods.PodStarted, podOf("4"), pods.Container{})
		b.tell(pods.ContainerStarting, podOf("4"), containerOf("4", "web", 7))
		synctest.Wait()
		if err := b.reported(); err == nil {
			t.Error("trouble is not reported")
		}
		if got, _ := b.Pods(); len(got) != 1 || got[0].Link != 0 || got[0].NetnsID != -1 || got[0].Containers[0].Cgroup != 0 {
			t.Errorf("pods: %+v", got)
		}
		b.kernel.set("/ns/4", place{link: 14, netnsID: 4})
		b.folders.mu.Lock()
		b.folders.err = nil
		b.folders.mu.Unlock()
		<-changed
		time.Sleep(2 * retryAfter) //nolint:forbidigo // time of the bubble
		synctest.Wait()
		if got, _ := b.Pods(); got[0].Link != 14 || got[0].Containers[0].Cgroup != 1007 {
			t.Errorf("pods: %+v", got)
		}
		if err := b.reported(); err != nil {
			t.Errorf("trouble is over, reported %v", err)
		}
		cancel()
		<-done
	})
}

func TestALinkThatVanishesIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- b.Run(ctx) }()
		b.tell(pods.PodStarted, podOf("1"), pods.Container{})
		synctest.Wait()
		b.kernel.set("/ns/1", nowhere)
		b.kernel.vanished(99) // somebody else's
		synctest.Wait()
		if got, _ := b.Pods(); got[0].Link != 11 {
			t.Errorf("pods: %+v", got)
		}
		b.kernel.vanished(11)
		synctest.Wait()
		if got, _ := b.Pods(); got[0].Link != 0 || got[0].NetnsID != -1 {
			t.Errorf("pods: %+v", got)
		}
		cancel()
		<-done
	})
}

func TestAKernelWithoutCgroup2IsNoTroubleOfAPod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed()
		b.folders.err = cgroup.ErrNone
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- b.Run(ctx) }()
		b.tell(pods.PodStarted, podOf("1"), pods.Container{})
		b.tell(pods.ContainerStarting, podOf("1"), containerOf("1", "web", 7))
		synctest.Wait()
		if err := b.reported(); err != nil {
			t.Errorf("reported %v", err)
		}
		if got, _ := b.Pods(); got[0].Containers[0].Cgroup != 0 || len(got[0].Containers[0].Ports) != 2 {
			t.Errorf("pods: %+v", got)
		}
		cancel()
		<-done
	})
}

// What runs in a pod can hide its link, but not lose its limits by that.
func TestAPodThatIsNoLongerFoundKeepsItsPlace(t *testing.T) {
	b := newBed()
	b.Observe(t.Context(), pods.Event{Kind: pods.PodStarted, Pod: podOf("1")})
	delete(b.kernel.places, "/ns/1")
	if !b.look(t.Context()) || b.reported() == nil {
		t.Error("a pod that is not found is no trouble")
	}
	if all, _ := b.Pods(); len(all) != 1 || all[0].Link != 11 || all[0].NetnsID != 1 {
		t.Errorf("the pod is %+v", all)
	}
}
