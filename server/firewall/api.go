package firewall

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"

	"github.com/kedge-io/kedge/api/edge/v1alpha1"
	"github.com/kedge-io/kedge/internal/edgeclient"
)

// api is all that the firewall asks of the API.
type api struct {
	// policies, pods and namespaces are nil where network policies are not
	// enforced.
	nodes, firewalls, policies, pods, namespaces cache.ListerWatcher
	// exists tells whether the resources are defined.
	exists func(ctx context.Context) error
	// annotate sets an annotation of a node.
	annotate func(ctx context.Context, node string, patch []byte) error
	// write writes the status of a firewall.
	write func(ctx context.Context, f *v1alpha1.EdgeFirewall) error
	// events is where events go; nil for nowhere.
	events record.EventSink
}

func connect(client func() (*rest.Config, error), policies bool) (api, error) {
	config, err := client()
	if err != nil {
		return api{}, fmt.Errorf("client of firewalls: %w", err)
	}
	edge, err := edgeclient.New(config)
	if err != nil {
		return api{}, err
	}
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return api{}, fmt.Errorf("client of firewalls: %w", err)
	}
	core := kube.CoreV1().RESTClient()
	a := api{
		nodes:     cache.NewListWatchFromClient(core, "nodes", "", fields.Everything()),
		firewalls: edgeclient.Source(edge.EdgeFirewalls()),
		exists: func(ctx context.Context) error {
			_, err := edge.EdgeFirewalls().List(ctx, metav1.ListOptions{Limit: 1})
			return err
		},
		annotate: func(ctx context.Context, node string, patch []byte) error {
			_, err := kube.CoreV1().Nodes().Patch(ctx, node, types.MergePatchType, patch, metav1.PatchOptions{})
			return err
		},
		write: func(ctx context.Context, f *v1alpha1.EdgeFirewall) error {
			_, err := edge.EdgeFirewalls().UpdateStatus(ctx, f, metav1.UpdateOptions{})
			return err
		},
		events: &typedcorev1.EventSinkImpl{Interface: kube.CoreV1().Events("")},
	}
	if policies {
		a.policies = cache.NewListWatchFromClient(kube.NetworkingV1().RESTClient(), "networkpolicies", "", fields.Everything())
		a.pods = cache.NewListWatchFromClient(core, "pods", "", fields.Everything())
		a.namespaces = cache.NewListWatchFromClient(core, "namespaces", "", fields.Everything())
	}
	return a, nil
}

// askEvery is how often to ask for definitions that were applied a moment ago.
const askEvery = 500 * time.Millisecond

// served waits until the API knows the resources, so that informers need not
// complain at each start.
func (f *Firewall) served(ctx context.Context, a api) error {
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	patience := time.After(time.Minute)
	for {
		err := a.exists(ctx)
		if err == nil {
			f.cfg.Report(nil)
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-patience:
			f.cfg.Report(fmt.Errorf("the API does not serve firewalls, nodes go on with the rules that they have (not found: %t): %w", apierrors.IsNotFound(err), err))
			tick.Reset(time.Minute)
		case <-tick.C:
		}
	}
}
