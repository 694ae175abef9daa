package bandwidth

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/kedge-io/kedge/api/edge/v1alpha1"
	"github.com/kedge-io/kedge/internal/edgeclient"
)

// api is all that the controller asks of the API.
type api struct {
	policies, reports, nodes cache.ListerWatcher
	// exists tells whether the resources are defined.
	exists func(ctx context.Context) error
	write  func(ctx context.Context, p *v1alpha1.BandwidthPolicy) error
	remove func(ctx context.Context, r *v1alpha1.NodeBandwidth) error
}

func connect(client func() (*rest.Config, error)) (api, error) {
	config, err := client()
	if err != nil {
		return api{}, fmt.Errorf("client of bandwidth policies: %w", err)
	}
	edge, err := edgeclient.New(config)
	if err != nil {
		return api{}, err
	}
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return api{}, fmt.Errorf("client of bandwidth policies: %w", err)
	}
	return api{
		policies: edgeclient.Source(edge.BandwidthPolicies("")),
		reports:  edgeclient.Source(edge.NodeBandwidths()),
		nodes:    cache.NewListWatchFromClient(kube.CoreV1().RESTClient(), "nodes", "", fields.Everything()),
		exists: func(ctx context.Context) error {
			_, err := edge.NodeBandwidths().List(ctx, metav1.ListOptions{Limit: 1})
			return err
		},
		write: func(ctx context.Context, p *v1alpha1.BandwidthPolicy) error {
			_, err := edge.BandwidthPolicies(p.Namespace).UpdateStatus(ctx, p, metav1.UpdateOptions{})
			return err
		},
		remove: func(ctx context.Context, r *v1alpha1.NodeBandwidth) error {
			only := metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(r.UID))}
			return edge.NodeBandwidths().Delete(ctx, r.Name, only)
		},
	}, nil
}

// askEvery is how often to ask for definitions that were applied a moment ago.
const askEvery = 500 * time.Millisecond

// served waits until the API knows the resources. Without this, each start would
// log what informers say about resources that are not there yet.
func (a api) served(ctx context.Context, log *slog.Logger) error {
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	patience := time.After(time.Minute)
	for {
		err := a.exists(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-patience:
			log.Warn("policies have no status yet: the API does not serve them", "resource", v1alpha1.Resource(v1alpha1.BandwidthPolicies).String(), "not-found", apierrors.IsNotFound(err), "error", err)
			tick.Reset(time.Minute)
		case <-tick.C:
		}
	}
}
