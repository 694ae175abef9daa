package nodes

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"

	"github.com/kedge-io/kedge/internal/lifecycle"
	"github.com/kedge-io/kedge/internal/wire"
)

// Name is the component's name.
const Name = "nodes"

const (
	// roleLabel is what kubectl shows as the role of a node.
	roleLabel = "node-role.kubernetes.io/control-plane"
	// uninitialized is the taint of a node whose addresses somebody else sets
	// (k8s.io/cloud-provider/api).
	uninitialized = "node.cloudprovider.kubernetes.io/uninitialized"
)

// Config says which node is the server's own.
type Config struct {
	// OwnNode is the server's own node; empty when it has none.
	OwnNode string
	// Client gives a client with the supervisor's rights. It is called once
	// the components that this one needs are ready.
	Client func() (kubernetes.Interface, error)
	// Deleted, where set, is told the name of each node that was deleted.
	Deleted func(node string)
}

// New returns the component. It is ready when all nodes were seen.
func New(cfg Config, log *slog.Logger, needs ...string) lifecycle.Component {
	c := &controller{cfg: cfg, log: log.With("component", Name)}
	return lifecycle.Component{Name: Name, Needs: needs, Run: c.run}
}

type controller struct {
	cfg    Config
	log    *slog.Logger
	client kubernetes.Interface
}

func (c *controller) run(ctx context.Context, ready func()) error {
	var err error
	if c.client, err = c.cfg.Client(); err != nil {
		return err
	}
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[string]())
	defer queue.ShutDown()
	factory := informers.NewSharedInformerFactory(c.client, 0)
	informer := factory.Core().V1().Nodes()
	add := func(obj any) {
		if node, ok := obj.(*corev1.Node); ok && c.change(node) != nil {
			queue.Add(node.Name)
		}
	}
	if _, err := informer.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: add, UpdateFunc: func(_, obj any) { add(obj) }, DeleteFunc: c.deleted,
	}); err != nil {
		return fmt.Errorf("watch nodes: %w", err)
	}
	factory.Start(ctx.Done())
	defer factory.Shutdown()
	stop := context.AfterFunc(ctx, queue.ShutDown)
	defer stop()
	go func() {
		if cache.WaitForCacheSync(ctx.Done(), informer.Informer().HasSynced) {
			ready()
		}
	}()
	for {
		name, end := queue.Get()
		if end {
			return ctx.Err()
		}
		if err := c.sync(ctx, name); err != nil && ctx.Err() == nil {
			c.log.Warn("node not changed, will be tried again", "node", name, "error", err)
			queue.AddRateLimited(name)
		} else {
			queue.Forget(name)
		}
		queue.Done(name)
	}
}

// deleted hands on the name of a node that is gone, also when the watch was
// interrupted meanwhile.
func (c *controller) deleted(obj any) {
	name, err := cache.DeletionHandlingMetaNamespaceKeyFunc(obj)
	if err == nil && c.cfg.Deleted != nil {
		c.cfg.Deleted(name)
	}
}

func (c *controller) sync(ctx context.Context, name string) error {
	node, err := c.client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	patch := c.change(node)
	if patch == nil {
		return nil
	}
	data, err := json.Marshal(patch)
	if err != nil {
		return err
	}
	_, err = c.client.CoreV1().Nodes().Patch(ctx, name, types.MergePatchType, data, metav1.PatchOptions{})
	return err
}

// change returns the merge patch that a node needs, nil for none. It names the
// resource version when it replaces the taints, because somebody else may be
// adding one.
func (c *controller) change(node *corev1.Node) map[string]any {
	meta, patch := map[string]any{}, map[string]any{}
	if node.Name == c.cfg.OwnNode && node.Labels[roleLabel] != "true" {
		meta["labels"] = map[string]string{roleLabel: "true"}
	}
	if node.Labels[wire.LabelAddresses] == wire.AddressesDeclared && hasInternal(node) {
		if taints, found := without(node.Spec.Taints, uninitialized); found {
			meta["resourceVersion"] = node.ResourceVersion
			patch["spec"] = map[string]any{"taints": taints}
		}
	}
	if len(meta) > 0 {
		patch["metadata"] = meta
	}
	if len(patch) == 0 {
		return nil
	}
	return patch
}

// hasInternal tells whether pods in the host's network would have an address.
func hasInternal(node *corev1.Node) bool {
	return slices.ContainsFunc(node.Status.Addresses, func(a corev1.NodeAddress) bool { return a.Type == corev1.NodeInternalIP })
}

func without(taints []corev1.Taint, key string) (rest []corev1.Taint, found bool) {
	rest = []corev1.Taint{}
	for _, t := range taints {
		if t.Key == key {
			found = true
			continue
		}
		rest = append(rest, t)
	}
	return rest, found
}
