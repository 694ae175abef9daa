package bandwidth

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kedge-io/kedge/api/edge/v1alpha1"
)

// clients are the ways to the API.
type clients struct {
	kube     kubernetes.Interface
	pods     cache.ListerWatcher // of this node
	policies cache.ListerWatcher // of all namespaces
}

// connect makes the clients of this node. It does not speak with anybody yet.
func connect(kubeconfig, node string) (clients, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return clients{}, fmt.Errorf("read kubeconfig %s of bandwidth: %w", kubeconfig, err)
	}
	config.UserAgent = "kedge-" + Name
	policies, err := policyClient(config)
	if err != nil {
		return clients{}, fmt.Errorf("client of bandwidth policies: %w", err)
	}
	config.ContentType = "application/vnd.kubernetes.protobuf"
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return clients{}, fmt.Errorf("client of bandwidth: %w", err)
	}
	own := fields.OneTermEqualSelector("spec.nodeName", node)
	return clients{
		kube:     kube,
		pods:     cache.NewListWatchFromClient(kube.CoreV1().RESTClient(), "pods", metav1.NamespaceAll, own),
		policies: cache.NewListWatchFromClient(policies, v1alpha1.BandwidthPolicies, metav1.NamespaceAll, fields.Everything()),
	}, nil
}

func policyClient(config *rest.Config) (rest.Interface, error) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	own, version := rest.CopyConfig(config), v1alpha1.GroupVersion()
	own.GroupVersion, own.APIPath = &version, "/apis"
	own.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	return rest.RESTClientFor(own)
}

// watch follows the wishes of the API.
type watch struct {
	pods, policies cache.SharedInformer
	// changed is called after a wish may have changed; late tells that it is not
	// one that the node has known for a while.
	changed func(late bool)
}

// newWatch returns a watch that does not run yet.
func newWatch(c clients, changed func(late bool)) (*watch, error) {
	w := &watch{
		pods:     cache.NewSharedInformer(c.pods, &corev1.Pod{}, 0),
		policies: cache.NewSharedInformer(c.policies, &v1alpha1.BandwidthPolicy{}, 0),
		changed:  changed,
	}
	if err := w.pods.SetTransform(slimPodObject); err != nil {
		return nil, err
	}
	if err := w.policies.SetTransform(slimPolicyObject); err != nil {
		return nil, err
	}
	if _, err := w.pods.AddEventHandler(handler(w.pods, changed, func(a, b *corev1.Pod) bool {
		return wishOf(a).equal(wishOf(b))
	})); err != nil {
		return nil, err
	}
	_, err := w.policies.AddEventHandler(handler(w.policies, changed, func(a, b *v1alpha1.BandwidthPolicy) bool {
		return a.UID == b.UID && a.Generation == b.Generation
	}))
	return w, err
}

// handler calls changed for what makes a difference. What comes while the
// informer lists for the first time has been so for a while.
func handler[T any](of cache.SharedInformer, changed func(late bool), same func(a, b T) bool) cache.ResourceEventHandler {
	return cache.ResourceEventHandlerDetailedFuncs{
		AddFunc: func(_ any, listed bool) { changed(!listed && of.HasSynced()) },
		UpdateFunc: func(before, after any) {
			a, okA := before.(T)
			b, okB := after.(T)
			if !okA || !okB || !same(a, b) {
				changed(true)
			}
		},
		DeleteFunc: func(any) { changed(true) },
	}
}

// run follows the API until ctx ends. A server that does not answer is asked
// again, at most every 30 s.
func (w *watch) run(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.pods.RunWithContext(ctx)
	}()
	w.policies.RunWithContext(ctx)
	<-done
}

// wishes returns what the API says, and last for what it has not said yet.
// A watch that broke keeps what it knew.
func (w *watch) wishes(last wishes) wishes {
	now := wishes{Pods: last.Pods, Policies: last.Policies}
	if w.pods.HasSynced() {
		now.fresh, now.Pods = true, map[string]podWish{}
		for _, obj := range w.pods.GetStore().List() {
			if pod, ok := obj.(*corev1.Pod); ok {
				now.Pods[runtimeUID(pod)] = wishOf(pod)
			}
		}
	}
	if w.policies.HasSynced() {
		now.Policies = nil
		for _, obj := range w.policies.GetStore().List() {
			if p, ok := obj.(*v1alpha1.BandwidthPolicy); ok {
				now.Policies = append(now.Policies, *p)
			}
		}
		slices.SortFunc(now.Policies, comparePolicies)
	}
	return now
}

// slimPodObject keeps the memory of a node for other things.
func slimPodObject(obj any) (any, error) {
	pod, ok := obj.(*corev1.Pod)
	if !ok {
		return obj, nil
	}
	slim := &corev1.Pod{}
	slim.Namespace, slim.Name, slim.UID, slim.ResourceVersion = pod.Namespace, pod.Name, pod.UID, pod.ResourceVersion
	slim.Labels, slim.Annotations = pod.Labels, bandwidthOnly(pod.Annotations)
	if mirror, ok := pod.Annotations[mirrorAnnotation]; ok {
		if slim.Annotations == nil {
			slim.Annotations = map[string]string{}
		}
		slim.Annotations[mirrorAnnotation] = mirror
	}
	for _, c := range pod.Spec.InitContainers {
		slim.Spec.InitContainers = append(slim.Spec.InitContainers, corev1.Container{Name: c.Name})
	}
	for _, c := range pod.Spec.Containers {
		slim.Spec.Containers = append(slim.Spec.Containers, corev1.Container{Name: c.Name})
	}
	return slim, nil
}

func slimPolicyObject(obj any) (any, error) {
	policy, ok := obj.(*v1alpha1.BandwidthPolicy)
	if !ok {
		return obj, nil
	}
	slim := slimPolicy(policy)
	slim.ResourceVersion = policy.ResourceVersion
	return &slim, nil
}
