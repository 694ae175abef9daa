package certificates

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kedge-io/kedge/tests/lab"
	"github.com/kedge-io/kedge/tests/lab/cluster"
)

// patience bounds one request of the load.
const patience = 20 * time.Second

// load is everything that must not fail while certificates are renewed.
type load struct {
	t      *testing.T
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex
	done   map[string]int
	failed map[string][]string
}

const rights = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: load}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects: [{kind: ServiceAccount, name: default, namespace: default}]
`

func startLoad(t *testing.T, c *cluster.Cluster) *load {
	t.Helper()
	c.Apply(t, rights)
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{t: t, cancel: cancel, done: map[string]int{}, failed: map[string][]string{}}
	t.Cleanup(l.stop)

	lasting := account(t, c, c.Server.Host, c.URL())
	l.repeat(ctx, "list on a lasting connection", 200*time.Millisecond, func(ctx context.Context) error { return list(ctx, lasting) })
	l.repeat(ctx, "administrator, new connection", time.Second, func(ctx context.Context) error {
		config, err := cluster.RESTConfig(c.Server.Host, "/etc/kedge/kedge.yaml")
		if err != nil {
			return err
		}
		return list(ctx, config)
	})
	for _, n := range c.Agents[:2] {
		own := account(t, c, n.Host, "https://127.0.0.1:6444")
		l.repeat(ctx, "list through the endpoint of "+n.Name(), 500*time.Millisecond, func(ctx context.Context) error { return list(ctx, own) })
		l.repeat(ctx, "exec on "+n.Name(), 2*time.Second, func(ctx context.Context) error { return run(ctx, c, "app-"+n.Name()) })
		l.repeat(ctx, "logs of "+n.Name(), time.Second, func(ctx context.Context) error { return logs(ctx, lasting, "app-"+n.Name()) })
	}
	from, to := podOf(t, c, c.Agents[0]), podOf(t, c, c.Agents[1])
	l.repeat(ctx, "pod to pod", time.Second, func(ctx context.Context) error { return talk(ctx, c, from, to) })
	l.open(ctx, "open exec", func(ctx context.Context) error { return dialogue(ctx, c, "app-"+c.Agents[0].Name()) })
	l.open(ctx, "open logs", func(ctx context.Context) error { return follow(ctx, lasting, "app-"+c.Agents[1].Name()) })
	l.open(ctx, "watch", func(ctx context.Context) error { return watch(ctx, lasting) })
	return l
}

// account is a client of a service account, whose connections stay: its token outlives the test.
func account(t *testing.T, c *cluster.Cluster, h *lab.Host, url string) *rest.Config {
	t.Helper()
	seconds := int64((6 * time.Hour).Seconds())
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}
	made, err := c.Client.CoreV1().ServiceAccounts("default").CreateToken(t.Context(), "default", request, metav1.CreateOptions{})
	cluster.Must(t, err)
	return &rest.Config{
		Host: url, BearerToken: made.Status.Token, TLSClientConfig: rest.TLSClientConfig{CAData: c.Config.CAData},
		// One dialler each: client-go keeps connections apart by it.
		Dial: h.DialContext, QPS: 100, Burst: 100,
	}
}

func list(ctx context.Context, config *rest.Config) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	_, err = client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	return err
}

func run(ctx context.Context, c *cluster.Cluster, pod string) error {
	out, err := c.TryKubectl(ctx, "exec", pod, "--", "sum", "/app")
	if err == nil && out == "" {
		err = errors.New("no output")
	}
	return err
}

func logs(ctx context.Context, config *rest.Config, pod string) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	_, err = client.CoreV1().Pods("default").GetLogs(pod, &corev1.PodLogOptions{}).DoRaw(ctx)
	return err
}

func talk(ctx context.Context, c *cluster.Cluster, from, to *corev1.Pod) error {
	results, err := c.Checks(ctx, from, []cluster.Check{{Kind: "peer", To: to.Status.PodIP + ":8080"}})
	if err == nil && !results[0].Worked {
		err = errors.New(results[0].Error)
	}
	return err
}

// dialogue keeps an echo in a pod going.
func dialogue(ctx context.Context, c *cluster.Cluster, pod string) error {
	in, say := io.Pipe()
	heard := &counter{}
	go func() {
		defer say.Close()
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if _, err := fmt.Fprintln(say, i); err != nil {
				return
			}
		}
	}()
	err := c.Server.Host.RunPiped(ctx, in, heard, "kedge", "kubectl", "exec", "-i", pod, "--", "echo")
	_ = in.Close()
	if ctx.Err() != nil && heard.n == 0 {
		return errors.New("nothing was heard")
	}
	return err
}

type counter struct{ n int }

func (c *counter) Write(p []byte) (int, error) { c.n += len(p); return len(p), nil }

func follow(ctx context.Context, config *rest.Config, pod string) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	stream, err := client.CoreV1().Pods("default").GetLogs(pod, &corev1.PodLogOptions{Follow: true}).Stream(ctx)
	if err != nil {
		return err
	}
	defer stream.Close()
	_, err = io.Copy(io.Discard, stream)
	return err
}

func watch(ctx context.Context, config *rest.Config) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	seconds := int64((2 * time.Hour).Seconds())
	w, err := client.CoreV1().Nodes().Watch(ctx, metav1.ListOptions{TimeoutSeconds: &seconds})
	if err != nil {
		return err
	}
	defer w.Stop()
	for range w.ResultChan() { //nolint:revive // events are not what this is about
	}
	return nil
}

// repeat does something again and again until the load is over.
func (l *load) repeat(ctx context.Context, name string, pause time.Duration, do func(context.Context) error) {
	l.wg.Go(func() {
		tick := time.NewTicker(pause)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			limited, cancel := context.WithTimeout(ctx, patience)
			err := do(limited)
			cancel()
			if ctx.Err() == nil {
				l.note(name, err)
			}
		}
	})
}

// open does something that ends with the load and not before.
func (l *load) open(ctx context.Context, name string, do func(context.Context) error) {
	l.wg.Go(func() {
		err := do(ctx)
		if ctx.Err() == nil {
			err = fmt.Errorf("ended early: %w", errors.Join(err, io.EOF))
		} else {
			err = nil
		}
		l.note(name, err)
	})
}

func (l *load) note(name string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.done[name]++
	if err != nil {
		l.t.Logf("%s: %v", name, err) // at once: a run may take an hour
		l.failed[name] = append(l.failed[name], time.Now().UTC().Format(time.TimeOnly)+" "+err.Error())
	}
}

func (l *load) stop() {
	l.cancel()
	l.wg.Wait()
}

// report prints what was done, and fails the test for each kind that failed.
func (l *load) report(t *testing.T, began time.Time) {
	t.Helper()
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(l.done)) {
		fmt.Fprintf(&b, "%6d  %s\n", l.done[name], name)
	}
	t.Logf("in %s:\n%s", time.Since(began).Round(time.Second), b.String())
	for name, errs := range l.failed {
		t.Errorf("%s failed %d times of %d:\n%s", name, len(errs), l.done[name], strings.Join(errs[:min(len(errs), 5)], "\n"))
	}
}
