package firewall

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
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
	// pod reads a pod, podAt the one of a node that has an address; nil for none.
	pod   func(ctx context.Context, namespace, name string) (*corev1.Pod, error)
	podAt func(ctx context.Context, node string, addr netip.Addr) (*corev1.Pod, error)
	// tryFirewall and trySet have the API look at an object without keeping it.
	tryFirewall func(ctx context.Context, o *v1alpha1.EdgeFirewall) (*v1alpha1.EdgeFirewall, error)
	trySet      func(ctx context.Context, o *v1alpha1.AddressSet) (*v1alpha1.AddressSet, error)
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
		pod: func(ctx context.Context, namespace, name string) (*corev1.Pod, error) {
			return kube.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
		},
		podAt:       podAt(kube),
		tryFirewall: try[*v1alpha1.EdgeFirewall](edge.EdgeFirewalls()),
		trySet:      try[*v1alpha1.AddressSet](edge.AddressSets()),
		events:      &typedcorev1.EventSinkImpl{Interface: kube.CoreV1().Events("")},
	}
	if policies {
		a.policies = cache.NewListWatchFromClient(kube.NetworkingV1().RESTClient(), "networkpolicies", "", fields.Everything())
		a.pods = cache.NewListWatchFromClient(core, "pods", "", fields.Everything())
		a.namespaces = cache.NewListWatchFromClient(core, "namespaces", "", fields.Everything())
	}
	return a, nil
}

// podAt finds the pod of a node that has an address and has not ended.
func podAt(kube kubernetes.Interface) func(context.Context, string, netip.Addr) (*corev1.Pod, error) {
	return func(ctx context.Context, node string, addr netip.Addr) (*corev1.Pod, error) {
		list, err := kube.CoreV1().Pods("").List(ctx, metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("spec.nodeName", node).String()})
		if err != nil {
			return nil, err
		}
		for i := range list.Items {
			p := &list.Items[i]
			ended := p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
			if !p.Spec.HostNetwork && !ended && p.Status.PodIP == addr.String() {
				return p, nil
			}
		}
		return nil, nil //nolint:nilnil // nobody has it
	}
}

// patcher is what try needs of a client.
type patcher[T any] interface {
	Patch(ctx context.Context, name string, pt types.PatchType, data []byte, options metav1.PatchOptions, subresources ...string) (T, error)
}

// try applies an object in a dry run: it comes back as it would be.
func try[T metav1.Object](client patcher[T]) func(context.Context, T) (T, error) {
	return func(ctx context.Context, o T) (T, error) {
		o.SetManagedFields(nil)
		o.SetResourceVersion("")
		o.SetUID("")
		o.SetCreationTimestamp(metav1.Time{})
		data, err := json.Marshal(o)
		if err != nil {
			return o, err
		}
		force := true
		return client.Patch(ctx, o.GetName(), types.ApplyPatchType, data, metav1.PatchOptions{
			DryRun: []string{metav1.DryRunAll}, FieldManager: "kedge-firewall-plan", FieldValidation: metav1.FieldValidationStrict, Force: &force,
		})
	}
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
