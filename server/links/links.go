package links

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"

	"github.com/kedge-io/kedge/internal/lifecycle"
)

// Name is the component's name.
const Name = "links"

// Condition is the type of the condition on a Node. True: the node has a link
// to this server, so logs, exec and pods of other sites reach it.
const Condition corev1.NodeConditionType = "KedgeLink"

// Reasons of the condition and of the events.
const (
	ReasonConnected    = "LinkUp"
	ReasonDisconnected = "LinkDown"
)

// Defaults of [Config].
const (
	DefaultSettle = 3 * time.Second
	DefaultGrace  = 45 * time.Second
)

// State is what is known of the link of one node.
type State struct {
	Up bool
	// Since is when the link came or went; zero for a node that never came.
	Since time.Time
	// Message says where the link comes from or why it went.
	Message string
}

// Config is what the component needs to know.
type Config struct {
	// Client gives a client that may read nodes, write their status and make
	// events. It is called once the components that this one needs are ready.
	Client func() (kubernetes.Interface, error)
	// State is the link of a node now.
	State func(node string) State
	// OwnNode is the server's own node, which needs no link.
	OwnNode string
	// Settle is how long a change must last before it is written; 0 means
	// DefaultSettle.
	Settle time.Duration
	// Grace is how long after the start a node may take to come before it is
	// called down; 0 means DefaultGrace.
	Grace time.Duration
}

// Links is the component's handle for the hub.
type Links struct {
	cfg    Config
	log    *slog.Logger
	queue  workqueue.TypedRateLimitingInterface[string]
	client kubernetes.Interface
	events record.EventRecorder
}

// New returns the component, which takes changes at once and writes them when
// it runs.
func New(cfg Config, log *slog.Logger) *Links {
	if cfg.Settle == 0 {
		cfg.Settle = DefaultSettle
	}
	if cfg.Grace == 0 {
		cfg.Grace = DefaultGrace
	}
	return &Links{
		cfg: cfg, log: log.With("component", Name),
		queue: workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[string]()),
	}
}

// Changed says that the link of a node came or went. It never blocks.
func (l *Links) Changed(node string) {
	if node != l.cfg.OwnNode {
		l.queue.AddAfter(node, l.cfg.Settle)
	}
}

// Component returns the component for a group.
func (l *Links) Component(needs ...string) lifecycle.Component {
	return lifecycle.Component{Name: Name, Needs: needs, Run: l.run}
}

func (l *Links) run(ctx context.Context, ready func()) error {
	defer l.queue.ShutDown()
	var err error
	if l.client, err = l.cfg.Client(); err != nil {
		return err
	}
	broadcaster := record.NewBroadcaster(record.WithContext(ctx))
	defer broadcaster.Shutdown()
	broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: l.client.CoreV1().Events("")})
	l.events = broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "kedge"})
	defer context.AfterFunc(ctx, l.queue.ShutDown)()
	absent := time.AfterFunc(l.cfg.Grace, func() { l.checkAll(ctx) })
	defer absent.Stop()
	ready()
	for {
		name, end := l.queue.Get()
		if end {
			return ctx.Err()
		}
		l.handle(ctx, name)
		l.queue.Done(name)
	}
}

func (l *Links) handle(ctx context.Context, name string) {
	if err := l.sync(ctx, name); err != nil && ctx.Err() == nil {
		if l.queue.NumRequeues(name) == 0 {
			l.log.Warn("state of the link is not on the node yet, trying on", "node", name, "error", err)
		}
		l.queue.AddRateLimited(name)
		return
	}
	l.queue.Forget(name)
}

// pageSize bounds how many nodes are read at once.
const pageSize = 100

// checkAll finds the nodes that did not come.
func (l *Links) checkAll(ctx context.Context) {
	options := metav1.ListOptions{Limit: pageSize}
	for {
		list, err := l.client.CoreV1().Nodes().List(ctx, options)
		if err != nil {
			if ctx.Err() == nil {
				l.log.Warn("nodes without a link are not known yet", "error", err)
			}
			return
		}
		for _, node := range list.Items {
			if node.Name != l.cfg.OwnNode {
				l.queue.Add(node.Name)
			}
		}
		if options.Continue = list.Continue; options.Continue == "" {
			return
		}
	}
}

// sync writes the state of a link to its node if the node says otherwise.
func (l *Links) sync(ctx context.Context, name string) error {
	state := l.cfg.State(name)
	if wait := l.cfg.Settle - time.Since(state.Since); wait > 0 {
		l.queue.AddAfter(name, wait)
		return nil
	}
	node, err := l.client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil // deleted, or a machine that has joined and whose kubelet is not up yet
	}
	if err != nil {
		return err
	}
	next, changed := condition(node.Status.Conditions, state, time.Now())
	if !changed {
		return nil
	}
	if err := patchCondition(ctx, l.client, name, next); err != nil {
		return fmt.Errorf("write condition %s: %w", Condition, err)
	}
	l.announce(node, next)
	return nil
}

func (l *Links) announce(node *corev1.Node, c corev1.NodeCondition) {
	kind := corev1.EventTypeNormal
	if c.Status != corev1.ConditionTrue {
		kind = corev1.EventTypeWarning
	}
	ref := &corev1.ObjectReference{Kind: "Node", Name: node.Name, UID: node.UID, APIVersion: "v1"}
	l.events.Event(ref, kind, c.Reason, c.Message)
}

// ErrNeverCame is the message of a node that has no link since the start.
var ErrNeverCame = errors.New("the node has not connected since this server started")
