package metrics

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
)

// runningPods shows the pods that run as the metadata that the library wants,
// without keeping a second copy of all pods.
type runningPods struct{ pods listers.PodLister }

// List returns the running pods of all namespaces.
func (p runningPods) List(selector labels.Selector) ([]runtime.Object, error) {
	pods, err := p.pods.List(selector)
	return metadata(pods), err
}

// Get is there for the interface: pods have namespaces.
func (p runningPods) Get(name string) (runtime.Object, error) {
	return nil, errors.NewNotFound(corev1.Resource("pods"), name)
}

// ByNamespace returns the lister of one namespace, of all for "".
func (p runningPods) ByNamespace(namespace string) cache.GenericNamespaceLister {
	return runningPodsOf{p.pods.Pods(namespace)}
}

type runningPodsOf struct{ pods listers.PodNamespaceLister }

func (p runningPodsOf) List(selector labels.Selector) ([]runtime.Object, error) {
	pods, err := p.pods.List(selector)
	return metadata(pods), err
}

func (p runningPodsOf) Get(name string) (runtime.Object, error) {
	pod, err := p.pods.Get(name)
	if err != nil {
		return nil, err
	}
	if pod.Status.Phase != corev1.PodRunning {
		return nil, errors.NewNotFound(corev1.Resource("pods"), name)
	}
	return &metav1.PartialObjectMetadata{ObjectMeta: pod.ObjectMeta}, nil
}

func metadata(pods []*corev1.Pod) []runtime.Object {
	objects := make([]runtime.Object, 0, len(pods))
	for _, pod := range pods {
		if pod.Status.Phase == corev1.PodRunning {
			objects = append(objects, &metav1.PartialObjectMetadata{ObjectMeta: pod.ObjectMeta})
		}
	}
	return objects
}
