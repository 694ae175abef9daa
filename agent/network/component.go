package network

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kedge-io/kedge/internal/fsx"
	"github.com/kedge-io/kedge/internal/lifecycle"
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
	n := &Network{cfg: cfg, log: log.With("component", Name), report: report}
	n.client = n.connect
	return n, nil
}

// Component returns the lifecycle of the pod network. It is ready when the CNI
// configuration is written and the rules were read back, be it from what the
// node knew before it was last stopped.
func (n *Network) Component(needs ...string) lifecycle.Component {
	return lifecycle.Component{Name: Name, Needs: needs, Run: n.Run}
}

func (n *Network) connect() (kubernetes.Interface, error) {
	rest, err := clientcmd.BuildConfigFromFlags("", n.cfg.Kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("reading kubeconfig %s of the pod network: %w", n.cfg.Kubeconfig, err)
	}
	rest.ContentType = "application/vnd.kubernetes.protobuf"
	rest.UserAgent = "kedge-" + Name
	return kubernetes.NewForConfig(rest)
}

// Run looks after the pod network until ctx ends, and leaves it in place then.
func (n *Network) Run(ctx context.Context, ready func()) error {
	client, err := n.client()
	if err != nil {
		return err
	}
	nodes, wake, err := n.watch(ctx, client)
	if err != nil {
		return err
	}
	k, last := &kernel{}, n.load()
	retry, isReady := retryMin, false
	for {
		if fresh, ok := nodes(); ok && !reflect.DeepEqual(fresh, last) {
			last = fresh
			n.save(last)
		}
		wait := lookAfter
		if last.PodCIDR.IsValid() {
			err := n.once(ctx, k, last)
			if ctx.Err() != nil {
				return nil
			}
			n.report(err)
			switch {
			case err != nil:
				// Full jitter up to the usual interval.
				wait = rand.N(retry) + retryMin/2
				retry = min(2*retry, lookAfter)
			case !isReady:
				isReady = true
				n.log.Info("pod network is up", "podCIDR", last.PodCIDR, "peers", len(last.Peers))
				ready()
				fallthrough
			default:
				retry = retryMin
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
		case <-time.After(wait):
		}
	}
}

func (n *Network) once(ctx context.Context, k *kernel, last known) error {
	facts, err := observe()
	if err != nil {
		return err
	}
	facts.PodCIDR, facts.Peers = last.PodCIDR, last.Peers
	plan, err := NewPlan(n.cfg, facts)
	if err != nil {
		return err
	}
	return k.apply(ctx, n.cfg, plan)
}

// watch starts the informer of nodes. The first result returns what the
// cluster says once it is known; the second is written to when it changes.
func (n *Network) watch(ctx context.Context, client kubernetes.Interface) (func() (known, bool), <-chan struct{}, error) {
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithTransform(slim))
	informer := factory.Core().V1().Nodes().Informer()
	wake := make(chan struct{}, 1)
	changed := func() {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { changed() },
		UpdateFunc: func(before, after any) {
			a, okA := before.(*corev1.Node)
			b, okB := after.(*corev1.Node)
			if !okA || !okB || peerOf(a) != peerOf(b) {
				changed()
			}
		},
		DeleteFunc: func(any) { changed() },
	})
	if err != nil {
		return nil, nil, fmt.Errorf("watching nodes: %w", err)
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
	}, wake, nil
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
