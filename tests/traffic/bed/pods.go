package bed

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/lab/cluster"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Ports of the traffic in container i of a pod; pods in the network of their host add a
// base of their own, see [HostPod].
const (
	containerBase = 9000
	containerStep = 10
)

// ControlPort is where container i of the pod takes jobs.
func ControlPort(p *corev1.Pod, i int) int { return int(p.Spec.Containers[i].Ports[0].ContainerPort) }

// Pod is a pod on the node whose containers run traffic. It has the label app=NAME.
func Pod(name, node string, containers ...string) *corev1.Pod {
	p := cluster.AppPod(name, node)
	p.Annotations = map[string]string{}
	p.Spec.Containers = nil
	for i, c := range containers {
		p.Spec.Containers = append(p.Spec.Containers, container(c, containerBase+containerStep*i))
	}
	return p
}

// HostPod is a pod with one container in the network of its host. Numbers, from 0,
// are different for pods of the same node.
func HostPod(name, node string, number int) *corev1.Pod {
	p := Pod(name, node, "traffic")
	p.Spec.HostNetwork = true
	p.Spec.Containers[0] = container("traffic", containerBase+1000+containerStep*number)
	return p
}

func container(name string, port int) corev1.Container {
	p := int32(port)
	return corev1.Container{
		Name: name, Image: Image, ImagePullPolicy: corev1.PullNever,
		Args: []string{"-control", fmt.Sprint(":", port), "-data", fmt.Sprint(":", port+1)},
		Ports: []corev1.ContainerPort{
			{Name: fmt.Sprint("control", port), ContainerPort: p},
			{Name: fmt.Sprint("data", port), ContainerPort: p + 1},
		},
	}
}

// Create creates the pods and waits until they are ready.
func (b *Bed) Create(t testing.TB, pods ...*corev1.Pod) []*corev1.Pod {
	t.Helper()
	for _, p := range pods {
		b.CreatePod(t, p)
	}
	var ready []*corev1.Pod
	for _, p := range pods {
		found := b.WaitPods(t, p.Namespace, "app="+p.Labels["app"], 1)
		ready = append(ready, &found[0])
	}
	return ready
}

// WaitEnd waits until the pod's first container takes jobs, and returns the pod as it is then. After
// a loss of power the API shows for a while what was before.
func (b *Bed) WaitEnd(t testing.TB, p *corev1.Pod) *corev1.Pod {
	t.Helper()
	var now *corev1.Pod
	testx.Eventually(t, cluster.Patience, "pod "+p.Name+" takes jobs", func(ctx context.Context) error {
		var err error
		if now, err = b.Client.CoreV1().Pods(p.Namespace).Get(ctx, p.Name, metav1.GetOptions{}); err != nil {
			return err
		}
		e := b.Container(now, 0)
		_, err = cluster.Fetch(ctx, cluster.HTTP(e.Host), http.MethodGet, "http://"+e.Addr+"/")
		return err
	})
	return now
}

// Annotate sets annotations of the pod; an empty value removes one.
func (b *Bed) Annotate(t testing.TB, p *corev1.Pod, values map[string]string) {
	t.Helper()
	cluster.Must(t, b.TryAnnotate(t, p, values))
}

// TryAnnotate is Annotate for a change that may be refused.
func (b *Bed) TryAnnotate(t testing.TB, p *corev1.Pod, values map[string]string) error {
	t.Helper()
	changes := map[string]any{}
	for key, v := range values {
		changes[key] = v
		if v == "" {
			changes[key] = nil
		}
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": changes}})
	cluster.Must(t, err)
	_, err = b.Client.CoreV1().Pods(p.Namespace).Patch(t.Context(), p.Name, types.MergePatchType, patch, metav1.PatchOptions{})
	return err
}
