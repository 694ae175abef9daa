package report

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kedge-io/kedge/api/edge/v1alpha1"
	"github.com/kedge-io/kedge/internal/edgeclient"
	"github.com/kedge-io/kedge/internal/kubeclient"
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
	changed chan struct{} // the resources have changed

	mu        sync.Mutex
	status    *v1alpha1.NodeBandwidthStatus // guarded by mu; nil for nothing to say yet
	resources map[string]string             // guarded by mu
}

// New returns a reporter that says nothing yet.
func New(cfg Config, log *slog.Logger) (*Reporter, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Reporter{cfg: cfg, log: log, wake: make(chan struct{}, 1), changed: make(chan struct{}, 1)}, nil
}

// Update takes what the node knows now. It never blocks.
func (r *Reporter) Update(in Input) {
	s, published := status(in), resources(in)
	r.mu.Lock()
	r.status = &s
	other := published != nil && !maps.Equal(published, r.resources)
	if other {
		r.resources = published
	}
	r.mu.Unlock()
	note(r.wake)
	if other {
		note(r.changed)
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

// Run keeps the node's report in the API until ctx ends.
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
	return w.run(ctx, r.wake)
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
