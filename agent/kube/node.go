package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/kedge-io/kedge/internal/kubeclient"
	"github.com/kedge-io/kedge/internal/lifecycle"
)

// What a refused patch of the node waits before it is tried again.
const (
	patchRetryMin = 200 * time.Millisecond
	patchRetryMax = 15 * time.Second
)

// newNode watches the node's own object: it is ready when the API calls the
// node Ready, is degraded while the API does not, publishes what is special
// about the host as conditions of the node, and keeps the node's addresses,
// annotations and extended resources, and the object itself across restores of the
// cluster. It closes addressed when the node was seen with its addresses.
func newNode(cfg Config, log *slog.Logger, report func(string, error), made *registration, addressed chan<- struct{}) lifecycle.Component {
	return lifecycle.Component{
		Name:  Node,
		Needs: []string{Kubelet},
		Run: func(ctx context.Context, ready func()) error {
			client, err := nodeClient(cfg)
			if err != nil {
				return err
			}
			n := &ownNode{
				cfg: cfg, log: log, client: client, report: report, ready: ready, addressed: addressed,
				returning: &returning{cfg: cfg, client: client, made: made, restores: askRestores(client)},
			}
			return n.run(ctx)
		},
	}
}

// ownNode is the node's own object as this process sees it.
type ownNode struct {
	cfg    Config
	log    *slog.Logger
	client kubernetes.Interface
	report func(string, error)
	ready  func()
	// addressed is closed once, and nil then.
	addressed chan<- struct{}
	wasReady  bool // informers call their handlers one after another
	returning *returning
}

func (n *ownNode) run(ctx context.Context) error {
	factory := informers.NewSharedInformerFactoryWithOptions(n.client, 0, informers.WithTweakListOptions(func(o *metav1.ListOptions) {
		o.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, n.cfg.NodeName).String()
	}))
	informer := factory.Core().V1().Nodes().Informer()
	wake := make(chan struct{}, 1)
	notify := func() {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
	if err := n.follow(informer, notify); err != nil {
		return fmt.Errorf("watch the node: %w", err)
	}
	factory.Start(ctx.Done())
	defer factory.Shutdown()
	if err := publishConditions(ctx, n.client, n.cfg); err != nil && ctx.Err() == nil {
		n.log.Warn("conditions of the host are not on the node", "error", err)
	}
	return n.keep(ctx, factory.Core().V1().Nodes().Lister(), wake)
}

// follow has all be noted that the informer learns, and changed called then.
func (n *ownNode) follow(informer cache.SharedIndexInformer, changed func()) error {
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { n.see(obj); changed() },
		UpdateFunc: func(_, obj any) { n.see(obj); changed() },
		DeleteFunc: func(obj any) { n.returning.gone(obj); changed() },
	})
	return errors.Join(err, informer.SetWatchErrorHandlerWithContext(func(ctx context.Context, r *cache.Reflector, err error) {
		cache.DefaultWatchErrorHandler(ctx, r, err)
		if n.returning.failed(err) {
			changed()
		}
	}))
}

// see looks at the node's readiness.
func (n *ownNode) see(obj any) {
	node, ok := obj.(*corev1.Node)
	if !ok {
		return
	}
	n.returning.saw(node)
	err := notReady(node)
	if err == nil {
		n.ready()
		n.wasReady = true
	}
	// A node that is not ready yet is starting, not degraded.
	if n.wasReady {
		n.report(Node, err)
	}
}

// keep brings addresses, annotations and extended resources to what they should
// be, whenever the node or one of them changes.
func (n *ownNode) keep(ctx context.Context, nodes corelisters.NodeLister, wake <-chan struct{}) error {
	retry := patchRetryMin
	for {
		var again <-chan time.Time
		if err := n.once(ctx, nodes); err == nil {
			retry = patchRetryMin
		} else if ctx.Err() == nil {
			if retry == patchRetryMin {
				n.log.Warn("node not changed, will be tried again", "error", err)
			}
			again = time.After(retry/2 + rand.N(retry))
			retry = min(2*retry, patchRetryMax)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-wake:
		case <-n.cfg.Reannotate:
		case <-n.cfg.Republish:
		case <-again:
		}
	}
}

func (n *ownNode) once(ctx context.Context, nodes corelisters.NodeLister) error {
	was := n.returning.seen.Load()
	node, missing := nodes.Get(n.cfg.NodeName)
	if missing != nil || n.returning.refused.Load() {
		back, err := n.returning.comeBack(ctx, was, missing != nil)
		if back {
			n.log.Info("node registered again, because a restore of the cluster had undone that it joined")
		}
		return err
	}
	if n.addressed != nil && addressed(n.cfg, node) {
		close(n.addressed)
		n.addressed = nil
	}
	if patch := nodePatch(n.cfg, node); patch != nil {
		return apply(ctx, n.client, n.cfg.NodeName, patch)
	}
	return nil
}

// notReady returns nil for a node that the API calls Ready, else why it is not.
func notReady(node *corev1.Node) error {
	for _, c := range node.Status.Conditions {
		if c.Type != corev1.NodeReady {
			continue
		}
		if c.Status == corev1.ConditionTrue {
			return nil
		}
		return fmt.Errorf("node is not ready: %s", c.Message)
	}
	return errors.New("node is not ready: kubelet has not said anything yet")
}

// publishConditions puts the host's conditions on the node.
func publishConditions(ctx context.Context, client kubernetes.Interface, cfg Config) error {
	conditions := hostConditions(cfg.Host)
	if len(conditions) == 0 {
		return nil
	}
	data, err := json.Marshal(map[string]any{"status": map[string]any{"conditions": conditions}})
	if err == nil {
		_, err = client.CoreV1().Nodes().Patch(ctx, cfg.NodeName, types.StrategicMergePatchType, data, metav1.PatchOptions{}, "status")
	}
	return err
}

func hostConditions(h Host) []corev1.NodeCondition {
	now := metav1.NewTime(time.Now().Truncate(time.Second))
	var conditions []corev1.NodeCondition
	for _, c := range h.Conditions {
		conditions = append(conditions, corev1.NodeCondition{
			Type: corev1.NodeConditionType("Kedge" + c.Type), Status: corev1.ConditionTrue,
			Reason: "HostAdapted", Message: c.Message, LastHeartbeatTime: now, LastTransitionTime: now,
		})
	}
	return conditions
}

// nodeClient speaks to the API as kubelet does: with the node's certificate.
func nodeClient(cfg Config) (kubernetes.Interface, error) {
	config, err := kubeclient.FromFile(cfg.Layout.KubeletConfig(), "")
	if err != nil {
		return nil, err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("client of the node: %w", err)
	}
	return client, nil
}
