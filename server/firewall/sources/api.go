package sources

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/kedge-io/kedge/api/edge/v1alpha1"
	"github.com/kedge-io/kedge/internal/edgeclient"
)

// api is all that is asked of the API.
type api struct {
	sets cache.ListerWatcher
	// configMap watches one.
	configMap func(namespace, name string) cache.ListerWatcher
	// write writes the status.
	write func(ctx context.Context, set *v1alpha1.AddressSet) error
}

func connect(client func() (*rest.Config, error)) (api, error) {
	config, err := client()
	if err != nil {
		return api{}, fmt.Errorf("client of address sets: %w", err)
	}
	edge, err := edgeclient.New(config)
	if err != nil {
		return api{}, err
	}
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return api{}, fmt.Errorf("client of address sets: %w", err)
	}
	return api{
		sets: edgeclient.Source(edge.AddressSets()),
		configMap: func(namespace, name string) cache.ListerWatcher {
			return cache.NewListWatchFromClient(kube.CoreV1().RESTClient(), "configmaps", namespace, fields.OneTermEqualSelector(metav1.ObjectNameField, name))
		},
		write: func(ctx context.Context, set *v1alpha1.AddressSet) error {
			_, err := edge.AddressSets().UpdateStatus(ctx, set, metav1.UpdateOptions{})
			return err
		},
	}, nil
}
