package dns

import (
	"context"
	"fmt"
	"sync"

	"github.com/coredns/coredns/plugin/kubernetes"
	"github.com/coredns/coredns/plugin/kubernetes/object"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	client "k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// objects is what the plugin asks for the state of the cluster; it keeps its own
// interface to itself.
type objects interface {
	ServiceList() []*object.Service
	EndpointsList() []*object.Endpoints
	ServiceImportList() []*object.ServiceImport
	SvcIndex(string) []*object.Service
	SvcIndexReverse(string) []*object.Service
	SvcExtIndexReverse(string) []*object.Service
	SvcImportIndex(string) []*object.ServiceImport
	PodIndex(string) []*object.Pod
	EpIndex(string) []*object.Endpoints
	EpIndexReverse(string) []*object.Endpoints
	McEpIndex(string) []*object.MultiClusterEndpoints
	GetNodeByName(context.Context, string) (*corev1.Node, error)
	GetNamespaceByName(string) (*object.Namespace, error)
	Run()
	HasSynced() bool
	Stop() error
	Modified(kubernetes.ModifiedMode) int64
}

// withForeign adds the slices that the endpoint slice controller did not make
// to those that the plugin watches.
type withForeign struct {
	objects
	slices     cache.Indexer
	controller cache.Controller
	stop       chan struct{}
	once       sync.Once
}

const (
	byService = "service"
	byAddress = "address"
)

func newWithForeign(own objects, config *rest.Config) (*withForeign, error) {
	c, err := client.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making the API client of the cluster DNS: %w", err)
	}
	w := &withForeign{objects: own, stop: make(chan struct{})}
	slices := c.DiscoveryV1().EndpointSlices(metav1.NamespaceAll)
	lists := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.LabelSelector = selectForeign
			return slices.List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.LabelSelector = selectForeign
			return slices.Watch(ctx, o)
		},
	}
	w.slices, w.controller = object.NewIndexerInformer(
		cache.ToListWatcherWithWatchListSemantics(lists, c), &discoveryv1.EndpointSlice{}, cache.ResourceEventHandlerFuncs{},
		cache.Indexers{
			byService: indexed(func(e *object.Endpoints) []string { return []string{e.Index} }),
			byAddress: indexed(func(e *object.Endpoints) []string { return e.IndexIP }),
		},
		object.DefaultProcessor(object.EndpointSliceToEndpoints, nil))
	return w, nil
}

func indexed(keys func(*object.Endpoints) []string) cache.IndexFunc {
	return func(obj any) ([]string, error) {
		e, ok := obj.(*object.Endpoints)
		if !ok {
			return nil, fmt.Errorf("an endpoint slice in the cluster DNS is a %T", obj)
		}
		return keys(e), nil
	}
}

func endpoints(found []any) []*object.Endpoints {
	var out []*object.Endpoints
	for _, obj := range found {
		if e, ok := obj.(*object.Endpoints); ok {
			out = append(out, e)
		}
	}
	return out
}

func (w *withForeign) by(index, key string) []*object.Endpoints {
	found, err := w.slices.ByIndex(index, key)
	if err != nil {
		return nil // an index that does not exist
	}
	return endpoints(found)
}

// EndpointsList implements objects.
func (w *withForeign) EndpointsList() []*object.Endpoints {
	return append(w.objects.EndpointsList(), endpoints(w.slices.List())...)
}

// EpIndex implements objects.
func (w *withForeign) EpIndex(service string) []*object.Endpoints {
	return append(w.objects.EpIndex(service), w.by(byService, service)...)
}

// EpIndexReverse implements objects.
func (w *withForeign) EpIndexReverse(address string) []*object.Endpoints {
	return append(w.objects.EpIndexReverse(address), w.by(byAddress, address)...)
}

// Run implements objects.
func (w *withForeign) Run() {
	go w.controller.Run(w.stop)
	w.objects.Run()
}

// HasSynced implements objects.
func (w *withForeign) HasSynced() bool { return w.objects.HasSynced() && w.controller.HasSynced() }

// Stop implements objects.
func (w *withForeign) Stop() error {
	w.once.Do(func() { close(w.stop) })
	return w.objects.Stop()
}
