package bandwidth

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/kedge-io/kedge/agent/bandwidth/report"
	"github.com/kedge-io/kedge/api/edge/v1alpha1"
	"github.com/kedge-io/kedge/internal/fsx"
)

// mirrorAnnotation holds the UID by which kubelet and the runtime know a static
// pod; its object in the API has another one (pkg/kubelet/types of Kubernetes).
const mirrorAnnotation = "kubernetes.io/config.mirror"

// podWish is what the API says about a pod as far as bandwidth is concerned.
type podWish struct {
	podRef
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Containers  []string          `json:"containers,omitempty"`
	// requested is what scheduler and kubelet count for it; nothing once it ended.
	requested report.Request
	ended     bool
}

// wishes are all that the API says. They are not changed once they are made.
type wishes struct {
	// Pods of the node by the UID that kubelet and the runtime know.
	Pods     map[string]podWish         `json:"pods"`
	Policies []v1alpha1.BandwidthPolicy `json:"policies"`
	// fresh tells that Pods come from the API, which then has these and no others.
	fresh bool
}

// runtimeUID is the UID by which kubelet and the runtime know the pod.
func runtimeUID(pod *corev1.Pod) string {
	return cmp.Or(pod.Annotations[mirrorAnnotation], string(pod.UID))
}

func wishOf(pod *corev1.Pod) podWish {
	w := podWish{
		podRef: podRef{Namespace: pod.Namespace, Name: pod.Name, UID: string(pod.UID)},
		Labels: pod.Labels, Annotations: bandwidthOnly(pod.Annotations),
		ended: pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed,
	}
	if !w.ended {
		w.requested = report.Requested(pod)
	}
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for _, c := range list {
			w.Containers = append(w.Containers, c.Name)
		}
	}
	return w
}

// bandwidthOnly leaves out what nobody here reads.
func bandwidthOnly(annotations map[string]string) map[string]string {
	var own map[string]string
	for key, value := range annotations {
		if !isBandwidth(key) {
			continue
		}
		if own == nil {
			own = map[string]string{}
		}
		own[key] = value
	}
	return own
}

func isBandwidth(key string) bool {
	return key == v1alpha1.AnnotationEgress || key == v1alpha1.AnnotationIngress ||
		strings.HasPrefix(key, v1alpha1.AnnotationPrefix)
}

// requests are those of all pods that have not ended; nil as long as the API has
// not said which they are.
func (w wishes) requests() map[string]report.Request {
	if !w.fresh {
		return nil
	}
	all := map[string]report.Request{}
	for uid, pod := range w.Pods {
		if !pod.ended {
			all[uid] = pod.requested
		}
	}
	return all
}

// equal tells that both wish the same.
func (w podWish) equal(other podWish) bool {
	return w.podRef == other.podRef && maps.Equal(w.Labels, other.Labels) &&
		maps.Equal(w.Annotations, other.Annotations) && slices.Equal(w.Containers, other.Containers)
}

// slimPolicy leaves what a policy says and what ranks it.
func slimPolicy(p *v1alpha1.BandwidthPolicy) v1alpha1.BandwidthPolicy {
	slim := v1alpha1.BandwidthPolicy{Spec: p.Spec}
	slim.Namespace, slim.Name, slim.UID = p.Namespace, p.Name, p.UID
	slim.Generation, slim.CreationTimestamp = p.Generation, p.CreationTimestamp
	return slim
}

func comparePolicies(a, b v1alpha1.BandwidthPolicy) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

// text is what is kept on disk: only pods of which somebody wishes something,
// and policies of their namespaces, so that a node without wishes writes nothing
// when pods come and go, and none when somebody changes policies elsewhere.
func (w wishes) text() ([]byte, error) {
	kept := wishes{Pods: map[string]podWish{}}
	here, limited := map[string]bool{}, map[string]bool{}
	for _, pod := range w.Pods {
		here[pod.Namespace] = true
	}
	for _, p := range w.Policies {
		if here[p.Namespace] {
			kept.Policies = append(kept.Policies, p)
			limited[p.Namespace] = true
		}
	}
	for uid, pod := range w.Pods {
		if len(pod.Annotations) > 0 || limited[pod.Namespace] {
			kept.Pods[uid] = pod
		}
	}
	text, err := json.MarshalIndent(kept, "", " ")
	if err != nil {
		return nil, fmt.Errorf("encode wishes: %w", err)
	}
	return append(text, '\n'), nil
}

// loadWishes reads the last known wishes. Where there are none they are empty.
func loadWishes(file string) (wishes, error) {
	var w wishes
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return w, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &w)
	}
	if err != nil {
		return wishes{}, fmt.Errorf("read the last known wishes from %s: %w", file, err)
	}
	return w, nil
}

// keep writes the wishes if the file says otherwise, and tells whether it did.
func (w wishes) keep(file string) (bool, error) {
	text, err := w.text()
	if err != nil {
		return false, err
	}
	return fsx.WriteFileIfChanged(file, text, 0o600)
}
