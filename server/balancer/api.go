package balancer

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
)

// api is all that is asked of the API.
type api struct {
	nodes, services, endpointSlices cache.ListerWatcher

	write func(ctx context.Context, s *service, ingress []corev1.LoadBalancerIngress) error
	event func(s *service, p problem)
	close func()
}

func connect(ctx context.Context, client func() (*rest.Config, error)) (api, error) {
	config, err := client()
	if err != nil {
		return api{}, fmt.Errorf("client of the load balancer: %w", err)
	}
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return api{}, fmt.Errorf("client of the load balancer: %w", err)
	}
	broadcaster := record.NewBroadcaster(record.WithContext(ctx))
	broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: kube.CoreV1().Events("")})
	events := broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "kedge"})
	watch := func(c cache.Getter, resource string) cache.ListerWatcher {
		return cache.NewListWatchFromClient(c, resource, metav1.NamespaceAll, fields.Everything())
	}
	return api{
		nodes:          watch(kube.CoreV1().RESTClient(), "nodes"),
		services:       watch(kube.CoreV1().RESTClient(), "services"),
		endpointSlices: watch(kube.DiscoveryV1().RESTClient(), "endpointslices"),
		write: func(ctx context.Context, s *service, ingress []corev1.LoadBalancerIngress) error {
			patch, err := patchOf(s, ingress)
			if err != nil {
				return err
			}
			_, err = kube.CoreV1().Services(s.Namespace).Patch(ctx, s.Name, types.MergePatchType, patch, metav1.PatchOptions{}, "status")
			return err
		},
		event: func(s *service, p problem) {
			ref := &corev1.ObjectReference{Kind: "Service", APIVersion: "v1", Namespace: s.Namespace, Name: s.Name, UID: s.UID}
			events.Event(ref, corev1.EventTypeWarning, p.reason, p.message)
		},
		close: broadcaster.Shutdown,
	}, nil
}

// patchOf replaces all addresses, of this very object.
func patchOf(s *service, ingress []corev1.LoadBalancerIngress) ([]byte, error) {
	type object = map[string]any
	return json.Marshal(object{
		"metadata": object{"uid": s.UID},
		"status":   object{"loadBalancer": object{"ingress": ingress}},
	})
}
