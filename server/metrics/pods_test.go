package metrics

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
)

func TestOnlyRunningPodsAreShown(t *testing.T) {
	index := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	for name, phase := range map[string]corev1.PodPhase{"works": corev1.PodRunning, "waits": corev1.PodPending, "was": corev1.PodSucceeded} {
		for _, namespace := range []string{"one", "two"} {
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}, Status: corev1.PodStatus{Phase: phase}}
			if err := index.Add(pod); err != nil {
				t.Fatal(err)
			}
		}
	}
	pods := runningPods{listers.NewPodLister(index)}
	for namespace, want := range map[string]int{"one": 1, "": 2} {
		found, err := pods.ByNamespace(namespace).List(labels.Everything())
		if err != nil || len(found) != want {
			t.Errorf("namespace %q: %d pods, %v; want %d", namespace, len(found), err, want)
		}
	}
	found, err := pods.ByNamespace("one").Get("works")
	if m, ok := found.(*metav1.PartialObjectMetadata); err != nil || !ok || m.Name != "works" {
		t.Errorf("got %v, %v", found, err)
	}
	if _, err := pods.ByNamespace("one").Get("was"); !errors.IsNotFound(err) {
		t.Errorf("a pod that ended: %v, want not found", err)
	}
}
