package apilb

import (
	"context"
	"fmt"
	"net/netip"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/kedge-io/kedge/internal/kubeclient"
)

// Watch returns a [Config.Learn] that watches the endpoints of the service
// kubernetes with a kubeconfig: one object, and a byte only when it changes.
func Watch(kubeconfig, userAgent string) func(context.Context, func([]netip.AddrPort)) error {
	return func(ctx context.Context, known func([]netip.AddrPort)) error {
		config, err := kubeclient.FromFile(kubeconfig, userAgent)
		if err != nil {
			return err
		}
		client, err := kubernetes.NewForConfig(config)
		if err != nil {
			return fmt.Errorf("watch the API's endpoints: %w", err)
		}
		factory := informers.NewSharedInformerFactoryWithOptions(client, 0,
			informers.WithNamespace(metav1.NamespaceDefault),
			informers.WithTweakListOptions(func(o *metav1.ListOptions) {
				o.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, "kubernetes").String()
			}))
		see := func(obj any) {
			// A slice without addresses is a server that is stopping: the
			// former ones stay.
			if slice, ok := obj.(*discoveryv1.EndpointSlice); ok {
				if addrs := addressesOf(slice); len(addrs) > 0 {
					known(addrs)
				}
			}
		}
		_, err = factory.Discovery().V1().EndpointSlices().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc: see, UpdateFunc: func(_, obj any) { see(obj) },
		})
		if err != nil {
			return fmt.Errorf("watch the API's endpoints: %w", err)
		}
		factory.Start(ctx.Done())
		<-ctx.Done()
		factory.Shutdown()
		return nil
	}
}

// addressesOf reads the addresses with the port of the API.
func addressesOf(slice *discoveryv1.EndpointSlice) []netip.AddrPort {
	var out []netip.AddrPort
	for _, port := range slice.Ports {
		if port.Port == nil || *port.Port < 1 || *port.Port > 65535 || (port.Name != nil && *port.Name != "https") {
			continue
		}
		for _, e := range slice.Endpoints {
			for _, text := range e.Addresses {
				if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
					out = append(out, netip.AddrPortFrom(addr.Unmap(), uint16(*port.Port)))
				}
			}
		}
	}
	return out
}
