package network

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/kedge-io/kedge/internal/fsx"
	"github.com/kedge-io/kedge/internal/kubeclient"
	"github.com/kedge-io/kedge/internal/lifecycle"
	"github.com/kedge-io/kedge/internal/wire"
)

// Name is the component's name.
const Name = "network"

const (
	// lookAfter is how often the host is compared with the plan.
	lookAfter = 30 * time.Second
	retryMin  = time.Second
)

// Network keeps the pod network of this node as the cluster wants it.
type Network struct {
	cfg    Config
	log    *slog.Logger
	report func(error)
	client func() (kubernetes.Interface, error)

	reannotate chan struct{}
	mu         sync.Mutex
	site       []netip.Addr // guarded by mu
	direct     *direct
}

// New makes the pod network of a node. Report, which may be nil, is told of
// every trouble that does not end the component, and nil when it is over.
func New(cfg Config, log *slog.Logger, report func(error)) (*Network, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if report == nil {
		report = func(error) {}
	}
	n := &Network{cfg: cfg, log: log.With("component", Name), report: report, reannotate: make(chan struct{}, 1)}
	n.client = n.connect
	return n, nil
}

// Component returns the lifecycle of the pod network. It is ready when the CNI
// configuration is written and the rules were read back, be it from what the
// node knew before it was last stopped.
func (n *Network) Component(needs ...string) lifecycle.Component {
	return lifecycle.Component{Name: Name, Needs: needs, Run: n.Run}
}

// Annotations are what nodes of the same site must know of this one, as
// annotations of its Node. They change when the host gets another address;
// [Network.Reannotate] tells when.
func (n *Network) Annotations() map[string]string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.site == nil {
		return nil // not looked yet
	}
	words := make([]string, len(n.site))
	for i, a := range n.site {
		words[i] = a.String()
	}
	own := map[string]string{wire.AnnotationAddresses: strings.Join(words, ","), wire.AnnotationProbeKey: ""}
	if n.direct != nil {
		own[wire.AnnotationProbeKey] = base64.StdEncoding.EncodeToString(n.direct.key.Public())
	}
	return own
}

// Reannotate receives something when Annotations has changed.
func (n *Network) Reannotate() <-chan struct{} { return n.reannotate }

func (n *Network) setSite(site []netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.site != nil && slices.Equal(n.site, site) {
		return
	}
	n.site = append([]netip.Addr{}, site...)
	notify(n.reannotate)
}

// notify leaves a note in a channel of capacity one.
func notify(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (n *Network) connect() (kubernetes.Interface, error) {
	config, err := kubeclient.FromFile(n.cfg.Kubeconfig, "kedge-"+Name)
	if err != nil {
		return nil, fmt.Errorf("client of the pod network: %w", err)
	}
	return kubernetes.NewForConfig(config)
}

// Run looks after the pod network until ctx ends, and leaves it in place then.
func (n *Network) Run(ctx context.Context, ready func()) error {
	client, err := n.client()
	if err != nil {
		return err
	}
	wake := make(chan struct{}, 1)
	nodes, err := n.watch(ctx, client, func() { notify(wake) })
	if err != nil {
		return err
	}
	stop, err := watchHost(func() { notify(wake) })
	if err != nil {
		return err
	}
	defer stop()
	if n.direct, err = newDirect(n.cfg, n.log, func() { notify(wake) }); err != nil {
		return err
	}
	probing, endProbing := context.WithCancel(ctx)
	defer n.direct.run(probing)()
	defer endProbing()
	k, last := &kernel{}, n.load()
	retry, isReady := retryMin, false
	for {
		if fresh, ok := nodes(); ok && !fresh.equal(last) {
			last = fresh
			n.save(last)
		}
		wait := lookAfter
		err := n.once(ctx, k, last)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil || last.PodCIDR.IsValid() {
			n.report(err)
		}
		switch {
		case err != nil:
			// Full jitter up to the usual interval.
			wait = rand.N(retry) + retryMin/2
			retry = min(2*retry, lookAfter)
		case !isReady && last.PodCIDR.IsValid():
			isReady = true
			n.log.Info("pod network is up", "podCIDR", last.PodCIDR, "peers", len(last.Peers))
			ready()
			fallthrough
		default:
			retry = retryMin
		}
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
		case <-n.cfg.HostPortsChanged:
		case <-time.After(wait):
		}
	}
}

// once compares the host with the plan and mends it. Where links came or went
// while the host was looked at, it looks again: only pods that start and end
// without a pause make that a trouble.
func (n *Network) once(ctx context.Context, k *kernel, last known) error {
	const looks = 5
	var err error
	for range looks {
		if err = n.look(ctx, k, last); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return err
}

// look is once, one time. Without a pod range only the host's addresses are
// looked at.
func (n *Network) look(ctx context.Context, k *kernel, last known) error {
	facts, err := observe()
	if err != nil {
		return err
	}
	n.setSite(siteAddresses(n.cfg, facts))
	if !last.PodCIDR.IsValid() {
		return nil
	}
	facts.PodCIDR, facts.Peers = last.PodCIDR, last.Peers
	lookErr := n.direct.look(&facts)
	if n.cfg.HostPorts != nil {
		facts.HostPorts = n.cfg.HostPorts()
	}
	plan, err := NewPlan(n.cfg, facts)
	if err != nil {
		return err
	}
	return errors.Join(k.apply(ctx, n.cfg, plan), lookErr)
}

// watch starts the informer of nodes, which calls changed. The result returns
// what the cluster says once it is known.
func (n *Network) watch(ctx context.Context, client kubernetes.Interface, changed func()) (func() (known, bool), error) {
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithTransform(slim))
	informer := factory.Core().V1().Nodes().Informer()
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { changed() },
		UpdateFunc: func(before, after any) {
			a, okA := before.(*corev1.Node)
			b, okB := after.(*corev1.Node)
			if !okA || !okB || !peerOf(a).equal(peerOf(b)) {
				changed()
			}
		},
		DeleteFunc: func(any) { changed() },
	})
	if err != nil {
		return nil, fmt.Errorf("watching nodes: %w", err)
	}
	lister := factory.Core().V1().Nodes().Lister()
	factory.Start(ctx.Done())
	return func() (known, bool) {
		if !informer.HasSynced() {
			return known{}, false
		}
		nodes, err := lister.List(labels.Everything())
		k := knownFrom(n.cfg.NodeName, nodes)
		// A node whose object is gone or has no range keeps the network that
		// its pods use.
		return k, err == nil && k.PodCIDR.IsValid()
	}, nil
}

func (n *Network) stateFile() string { return filepath.Join(n.cfg.StateDir, "network.json") }

// load returns what the cluster said when the node last ran, or nothing.
func (n *Network) load() known {
	var k known
	text, err := os.ReadFile(n.stateFile())
	if err == nil {
		err = json.Unmarshal(text, &k)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		n.log.Warn("last known pod network is unreadable, waiting for a server", "file", n.stateFile(), "err", err)
		return known{}
	}
	return k
}

func (n *Network) save(k known) {
	text, err := json.Marshal(k)
	if err == nil {
		err = os.MkdirAll(n.cfg.StateDir, 0o755)
	}
	if err == nil {
		_, err = fsx.WriteFileIfChanged(n.stateFile(), append(text, '\n'), 0o644)
	}
	if err != nil {
		n.log.Warn("last known pod network is not kept: this node cannot start it without a server", "err", err)
	}
}
