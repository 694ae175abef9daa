package bandwidth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/kedge-io/kedge/api/edge/v1alpha1"
	"github.com/kedge-io/kedge/internal/edgeclient"
	"github.com/kedge-io/kedge/internal/kubeclient"
)

// clients are the ways to the API.
type clients struct {
	kube     kubernetes.Interface
	pods     cache.ListerWatcher // of this node
	policies cache.ListerWatcher // of all namespaces
}

// connect makes the clients of this node. It does not speak with anybody yet.
func connect(kubeconfig, node string) (clients, error) {
	config, err := kubeclient.FromFile(kubeconfig, "kedge-"+Name)
	if err != nil {
		return clients{}, err
	}
	edge, err := edgeclient.New(config)
	if err != nil {
		return clients{}, err
	}
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return clients{}, fmt.Errorf("client of bandwidth: %w", err)
	}
	own := fields.OneTermEqualSelector("spec.nodeName", node)
	return clients{
		kube:     kube,
		pods:     cache.NewListWatchFromClient(kube.CoreV1().RESTClient(), "pods", metav1.NamespaceAll, own),
		policies: edgeclient.Source(edge.BandwidthPolicies(metav1.NamespaceAll)),
	}, nil
}

// watch follows the wishes of the API.
type watch struct {
	pods, policies cache.SharedInformer
	// changed is called after a wish may have changed; late tells that it is not
	// one that the node has known for a while.
	changed func(late bool)
}

// newWatch returns a watch that does not run yet.
func newWatch(c clients, log *slog.Logger, changed func(late bool)) (*watch, error) {
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
	for what, of := range map[string]cache.SharedInformer{"pods": w.pods, "bandwidth policies": w.policies} {
		if err := of.SetWatchErrorHandlerWithContext(complainer(log, what, of)); err != nil {
			return nil, err
		}
	}
	if _, err := w.pods.AddEventHandler(handler(w.pods, changed, func(a, b *corev1.Pod) difference {
		before, after := wishOf(a), wishOf(b)
		switch {
		case !before.equal(after):
			return wishDiffers
		case before.requested != after.requested || before.ended != after.ended:
			return reportDiffers
		}
		return nothingDiffers
	})); err != nil {
		return nil, err
	}
	_, err := w.policies.AddEventHandler(handler(w.policies, changed, func(a, b *v1alpha1.BandwidthPolicy) difference {
		if a.UID == b.UID && a.Generation == b.Generation {
			return nothingDiffers
		}
		return wishDiffers
	}))
	return w, err
}

// complainer says once that something cannot be read, until it was read again. A
// server that is away is normal, and so are policies on one that has none.
func complainer(log *slog.Logger, what string, of cache.SharedInformer) cache.WatchErrorHandlerWithContext {
	said, read := false, ""
	return func(ctx context.Context, _ *cache.Reflector, err error) {
		if ctx.Err() != nil || apierrors.IsResourceExpired(err) || apierrors.IsGone(err) || errors.Is(err, io.EOF) {
			return // watches end, and begin anew
		}
		now := of.LastSyncResourceVersion()
		if said && now == read {
			return
		}
		said, read = true, now
		log.Warn("the API cannot be read, going on with what is known", "what", what, "error", err)
	}
}

// difference is what a change of an object is about.
type difference uint8

const (
	nothingDiffers difference = iota
	// reportDiffers: only what is told to others.
	reportDiffers
	wishDiffers
)

// handler calls changed for what makes a difference. What comes while the
// informer lists for the first time has been so for a while.
func handler[T any](of cache.SharedInformer, changed func(late bool), differ func(a, b T) difference) cache.ResourceEventHandler {
	return cache.ResourceEventHandlerDetailedFuncs{
		AddFunc: func(_ any, listed bool) { changed(!listed && of.HasSynced()) },
		UpdateFunc: func(before, after any) {
			a, okA := before.(T)
			b, okB := after.(T)
			if !okA || !okB {
				return
			}
			if d := differ(a, b); d != nothingDiffers {
				changed(d == wishDiffers)
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
	slim.Status.Phase, slim.Status.StartTime = pod.Status.Phase, pod.Status.StartTime
	slim.Spec.Overhead, slim.Spec.Resources = pod.Spec.Overhead, pod.Spec.Resources
	slim.Spec.InitContainers, slim.Spec.Containers = slimContainers(pod.Spec.InitContainers), slimContainers(pod.Spec.Containers)
	return slim, nil
}

func slimContainers(all []corev1.Container) []corev1.Container {
	var slim []corev1.Container
	for _, c := range all {
		slim = append(slim, corev1.Container{Name: c.Name, RestartPolicy: c.RestartPolicy, Resources: c.Resources})
	}
	return slim
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
