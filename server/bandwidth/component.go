package bandwidth

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"

	"github.com/kedge-io/kedge/api/edge/v1alpha1"
	"github.com/kedge-io/kedge/internal/lifecycle"
)

// Name is the component's name.
const Name = "bandwidth-policies"

// Defaults of [Config].
const (
	DefaultPause = 2 * time.Second
	DefaultGrace = 10 * time.Minute
)

// Config is what the component needs to know.
type Config struct {
	// Client gives the configuration of a client that may read nodes, write the
	// status of policies and delete reports. It is called once the components
	// that this one needs are ready.
	Client func() (*rest.Config, error)
	// Pause is the time between two writes of one policy's status; 0 means
	// DefaultPause.
	Pause time.Duration
	// Grace is how old the report of a node that does not exist must be before it
	// is deleted, because a node may report before it has registered; 0 means
	// DefaultGrace.
	Grace time.Duration
}

// New returns the component. It is ready at once and waits for the definitions
// of its resources by itself.
func New(cfg Config, log *slog.Logger, needs ...string) lifecycle.Component {
	c := newController(cfg, log)
	return lifecycle.Component{Name: Name, Needs: needs, Run: func(ctx context.Context, ready func()) error {
		ready()
		api, err := connect(cfg.Client)
		if err != nil {
			return err
		}
		if err := api.served(ctx, c.log); err != nil {
			return err
		}
		return c.run(ctx, api)
	}}
}

// item is one thing to look at: a policy, or with an empty name the report of a
// node.
type item struct {
	policy types.NamespacedName
	node   string
}

type controller struct {
	cfg   Config
	log   *slog.Logger
	index *index
	queue workqueue.TypedRateLimitingInterface[item]
	pace  *pace

	policies, reports, nodes cache.SharedInformer
	api                      api
}

func newController(cfg Config, log *slog.Logger) *controller {
	if cfg.Pause == 0 {
		cfg.Pause = DefaultPause
	}
	if cfg.Grace == 0 {
		cfg.Grace = DefaultGrace
	}
	return &controller{
		cfg: cfg, log: log.With("component", Name), index: newIndex(), pace: newPace(cfg.Pause),
		queue: workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[item]()),
	}
}

func (c *controller) run(ctx context.Context, api api) error {
	c.api = api
	if err := c.watch(); err != nil {
		return fmt.Errorf("watch bandwidth policies: %w", err)
	}
	defer context.AfterFunc(ctx, c.queue.ShutDown)()
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	informers := []cache.SharedInformer{c.policies, c.reports, c.nodes}
	for _, i := range informers {
		go func() { i.RunWithContext(ctx); ended <- struct{}{} }()
	}
	defer func() {
		stop()
		c.queue.ShutDown()
		for range informers {
			<-ended
		}
	}()
	if !cache.WaitForCacheSync(ctx.Done(), c.policies.HasSynced, c.reports.HasSynced, c.nodes.HasSynced) {
		return ctx.Err()
	}
	for {
		it, end := c.queue.Get()
		if end {
			return ctx.Err()
		}
		c.handle(ctx, it)
		c.queue.Done(it)
	}
}

func (c *controller) watch() error {
	c.policies = cache.NewSharedInformer(c.api.policies, &v1alpha1.BandwidthPolicy{}, 0)
	c.reports = cache.NewSharedInformer(c.api.reports, &v1alpha1.NodeBandwidth{}, 0)
	c.nodes = cache.NewSharedInformer(c.api.nodes, &corev1.Node{}, 0)
	for informer, how := range map[cache.SharedInformer]struct {
		slim    cache.TransformFunc
		handler cache.ResourceEventHandlerFuncs
	}{
		c.policies: {slimPolicy, cache.ResourceEventHandlerFuncs{AddFunc: c.policyAdded, UpdateFunc: c.policyUpdated, DeleteFunc: c.policyDeleted}},
		c.reports:  {slimReport, cache.ResourceEventHandlerFuncs{AddFunc: c.reportSeen, UpdateFunc: func(_, obj any) { c.reportSeen(obj) }, DeleteFunc: c.reportGone}},
		c.nodes:    {slimNode, cache.ResourceEventHandlerFuncs{AddFunc: c.nodeSeen, UpdateFunc: c.nodeUpdated, DeleteFunc: c.nodeSeen}},
	} {
		if err := informer.SetTransform(how.slim); err != nil {
			return err
		}
		if _, err := informer.AddEventHandler(how.handler); err != nil {
			return err
		}
	}
	return nil
}

func (c *controller) handle(ctx context.Context, it item) {
	work := c.sync
	if it.node != "" {
		work = c.sweep
	}
	if err := work(ctx, it); err != nil && ctx.Err() == nil {
		if c.queue.NumRequeues(it) == 1 { // the first failure may be somebody else's write
			c.log.Warn("not written yet, trying on", "policy", it.policy.String(), "node", it.node, "error", err)
		}
		c.queue.AddRateLimited(it)
		return
	}
	c.queue.Forget(it)
}
