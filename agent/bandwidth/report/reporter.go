package report

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kedge-io/kedge/api/edge/v1alpha1"
	"github.com/kedge-io/kedge/internal/edgeclient"
	"github.com/kedge-io/kedge/internal/kubeclient"
	"github.com/kedge-io/kedge/internal/lifecycle"
)

// Config says who reports and how it reaches the API.
type Config struct {
	NodeName string
	// Kubeconfig is the file of the agent's own identity.
	Kubeconfig string
}

// Validate says what is missing, all problems joined.
func (c Config) Validate() error {
	var errs []error
	if c.NodeName == "" {
		errs = append(errs, errors.New("report: a node name is needed"))
	}
	if c.Kubeconfig == "" {
		errs = append(errs, errors.New("report: a kubeconfig is needed"))
	}
	return errors.Join(errs...)
}

// reports is what the API offers for NodeBandwidth.
type reports interface {
	Get(ctx context.Context, name string, o metav1.GetOptions) (*v1alpha1.NodeBandwidth, error)
	Create(ctx context.Context, r *v1alpha1.NodeBandwidth, o metav1.CreateOptions) (*v1alpha1.NodeBandwidth, error)
	Update(ctx context.Context, r *v1alpha1.NodeBandwidth, o metav1.UpdateOptions) (*v1alpha1.NodeBandwidth, error)
}

// Reporter is safe for use by several goroutines.
type Reporter struct {
	cfg     Config
	log     *slog.Logger
	wake    chan struct{} // the report may have changed
	offer   chan struct{} // the resources should change
	changed chan struct{} // the resources have changed

	mu     sync.Mutex
	status *v1alpha1.NodeBandwidthStatus // guarded by mu; nil for nothing to say yet
	// wanted is what should be published and resources what is; guarded by mu.
	wanted, resources map[string]string
}

// settle is how long changes of the resources are gathered after one: the Node
// has many watchers, and annotations may change often.
const settle = time.Second

// New returns a reporter that says nothing yet.
func New(cfg Config, log *slog.Logger) (*Reporter, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Reporter{
		cfg: cfg, log: log,
		wake: make(chan struct{}, 1), offer: make(chan struct{}, 1), changed: make(chan struct{}, 1),
	}, nil
}

// Update takes what the node knows now. It never blocks.
func (r *Reporter) Update(in Input) {
	s, published := status(in), resources(in)
	r.mu.Lock()
	r.status = &s
	if published != nil {
		r.wanted = published
	}
	r.mu.Unlock()
	note(r.wake)
	note(r.offer)
}

// publish takes over what should be published, at most once in [settle].
func (r *Reporter) publish(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.offer:
		}
		r.mu.Lock()
		other := !maps.Equal(r.wanted, r.resources)
		r.resources = r.wanted
		r.mu.Unlock()
		if !other {
			continue
		}
		note(r.changed)
		if !lifecycle.Pause(ctx, settle) {
			return
		}
	}
}

// Resources are the node's capacity by name, in decimal digits; an empty value
// takes one away. Nil as long as nothing is known.
func (r *Reporter) Resources() map[string]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.resources
}

// Changed receives something when Resources has changed.
func (r *Reporter) Changed() <-chan struct{} { return r.changed }

// Run keeps Resources and the node's report in the API until ctx ends.
func (r *Reporter) Run(ctx context.Context) error {
	config, err := kubeclient.FromFile(r.cfg.Kubeconfig, "kedge-bandwidth")
	if err != nil {
		return fmt.Errorf("report bandwidth: %w", err)
	}
	client, err := edgeclient.New(config)
	if err != nil {
		return fmt.Errorf("report bandwidth: %w", err)
	}
	w := &writer{node: r.cfg.NodeName, log: r.log, api: client.NodeBandwidths(), latest: r.latest}
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.publish(ctx)
	}()
	err = w.run(ctx, r.wake)
	<-done
	return err
}

func (r *Reporter) latest() *v1alpha1.NodeBandwidthStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.status
}

// note leaves a note in a channel of capacity one.
func note(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
