package cluster

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/lab"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AppPod is a pod of the application in the namespace default, with the label app=NAME. An empty
// node leaves the choice to the scheduler. args are the program's, see tests/app.
func AppPod(name, node string, args ...string) *corev1.Pod {
	stop := int64(1)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", Labels: map[string]string{"app": name}},
		Spec: corev1.PodSpec{
			TerminationGracePeriodSeconds: &stop,
			Tolerations:                   []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
			Containers: []corev1.Container{{
				Name: "app", Image: AppImage, Args: args, ImagePullPolicy: corev1.PullNever,
				Ports: []corev1.ContainerPort{{ContainerPort: 8080}},
			}},
		},
	}
	if node != "" {
		pod.Spec.NodeSelector = map[string]string{corev1.LabelHostname: node}
	}
	return pod
}

// CreatePod creates a pod once its namespace is usable.
func (c *Cluster) CreatePod(t testing.TB, pod *corev1.Pod) {
	t.Helper()
	// The service account comes a moment after the namespace.
	testx.Eventually(t, Patience, "pod "+pod.Name+" is admitted", func(ctx context.Context) error {
		_, err := c.Client.CoreV1().Pods(pod.Namespace).Create(ctx, pod, metav1.CreateOptions{})
		return err
	})
}

// WaitPods waits until there are exactly n pods with the selector, all Ready, and returns them by
// name.
func (c *Cluster) WaitPods(t testing.TB, namespace, selector string, n int) []corev1.Pod {
	t.Helper()
	var pods []corev1.Pod
	testx.Eventually(t, Patience, fmt.Sprintf("%d pods %s are ready", n, selector), func(ctx context.Context) error {
		list, err := c.Client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
		if err != nil {
			return err
		}
		if len(list.Items) != n {
			return fmt.Errorf("there are %d", len(list.Items))
		}
		for i := range list.Items {
			if err := ready(&list.Items[i]); err != nil {
				return err
			}
		}
		pods = list.Items
		return nil
	})
	slices.SortFunc(pods, func(a, b corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	return pods
}

func ready(p *corev1.Pod) error {
	for _, cond := range p.Status.Conditions {
		if cond.Type == corev1.PodReady && cond.Status == corev1.ConditionTrue {
			return nil
		}
	}
	return fmt.Errorf("pod %s is %s: %v", p.Name, p.Status.Phase, p.Status.ContainerStatuses)
}

// Containers lists every container of every pod with its identity and its number of restarts. Two
// equal lists mean that nothing was restarted or replaced in between.
func (c *Cluster) Containers(t testing.TB) map[string]string {
	t.Helper()
	all := map[string]string{}
	testx.Eventually(t, Patience, "pods are listed", func(ctx context.Context) error {
		list, err := c.Client.CoreV1().Pods("").List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		clear(all)
		for _, p := range list.Items {
			for _, s := range p.Status.ContainerStatuses {
				all[p.Namespace+"/"+p.Name+"/"+s.Name] = fmt.Sprintf("%s on %s at %s, %d restarts", s.ContainerID, p.Spec.NodeName, p.Status.PodIP, s.RestartCount)
			}
		}
		return nil
	})
	return all
}

// SameContainers fails the test if the containers are not those of before.
func (c *Cluster) SameContainers(t testing.TB, before map[string]string) {
	t.Helper()
	now := c.Containers(t)
	if maps.Equal(before, now) {
		return
	}
	for name := range before {
		if before[name] != now[name] {
			t.Errorf("container %s was %s, is %s", name, before[name], now[name])
		}
	}
	for name := range now {
		if _, ok := before[name]; !ok {
			t.Errorf("container %s is new", name)
		}
	}
}

// HTTP is a client whose connections start on the host. It makes a new one for each request.
func HTTP(h *lab.Host) *http.Client {
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return h.DialContext(ctx, network, address)
		},
	}}
}

// Get fetches url from the host, again until the answer is 200 and holds want, and returns it.
func Get(t testing.TB, h *lab.Host, url, want string) string {
	t.Helper()
	var body string
	testx.Eventually(t, Patience, "GET "+url+" on "+h.Name(), func(ctx context.Context) error {
		var err error
		if body, err = Fetch(ctx, HTTP(h), http.MethodGet, url); err != nil {
			return err
		}
		if !strings.Contains(body, want) {
			return fmt.Errorf("answer %q does not hold %q", body, want)
		}
		return nil
	})
	return body
}
