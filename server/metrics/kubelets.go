package metrics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/metrics-server/pkg/scraper/client"
	"sigs.k8s.io/metrics-server/pkg/scraper/client/resource"
	"sigs.k8s.io/metrics-server/pkg/storage"
)

// failuresUntilTrouble in a row make a silent node worth telling. One is the
// ordinary end of a link.
const failuresUntilTrouble = 2

// kubelets asks kubelets and remembers which ones do not answer.
type kubelets struct {
	client client.KubeletMetricsGetter
	log    *slog.Logger

	mu     sync.Mutex
	silent map[string]*silence
}

type silence struct {
	err   error
	times int
}

func newKubelets(cfg Config, log *slog.Logger) (*kubelets, error) {
	c, err := resource.NewForConfig(&client.KubeletClientConfig{
		Client: rest.Config{
			Dial: cfg.DialKubelet, Timeout: timeout,
			TLSClientConfig: rest.TLSClientConfig{
				CAFile: cfg.KubeletCA, CertFile: cfg.ClientCert, KeyFile: cfg.ClientKey,
				// One request at a time: HTTP/2 would cost a third more memory
				// per node.
				NextProtos: []string{"http/1.1"},
			},
		},
		AddressTypePriority: []corev1.NodeAddressType{corev1.NodeHostName},
		Scheme:              "https",
		DefaultPort:         kubeletPort,
	})
	if err != nil {
		return nil, fmt.Errorf("client for kubelets' metrics: %w", err)
	}
	return &kubelets{client: c, log: log, silent: map[string]*silence{}}, nil
}

// GetMetrics asks the kubelet of a node. It has no error: who does not answer
// is remembered, told by [kubelets.trouble] and logged once.
func (k *kubelets) GetMetrics(ctx context.Context, node *corev1.Node) (*storage.MetricsBatch, error) {
	// The name decides which kubelet is asked, not what the node says of its
	// addresses, port and paths.
	batch, err := k.client.GetMetrics(ctx, &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: node.Name},
		Status:     corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: node.Name}}},
	})
	if ctx.Err() == nil || err == nil || errors.Is(ctx.Err(), context.DeadlineExceeded) {
		k.note(node, err)
	}
	if err != nil {
		return nil, nil //nolint:nilerr,nilnil // no figures of this node
	}
	return batch, nil
}

// note remembers an answer. A node that is not Ready is known to be silent.
func (k *kubelets) note(node *corev1.Node, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.silent[node.Name]
	if err == nil || !isReady(node) {
		delete(k.silent, node.Name)
		if s != nil && s.times >= failuresUntilTrouble && err == nil {
			k.log.Info("node gives resource figures again", "node", node.Name)
		}
		return
	}
	if s == nil {
		s = &silence{}
		k.silent[node.Name] = s
	}
	s.err = err
	if s.times++; s.times == failuresUntilTrouble {
		k.log.Warn("node gives no resource figures", "node", node.Name, "error", err)
	}
}

// keep forgets all nodes but these.
func (k *kubelets) keep(nodes []*corev1.Node) {
	k.mu.Lock()
	defer k.mu.Unlock()
	maps.DeleteFunc(k.silent, func(name string, _ *silence) bool {
		return !slices.ContainsFunc(nodes, func(n *corev1.Node) bool { return n.Name == name })
	})
}

// trouble says which Ready nodes did not answer, nil if all did.
func (k *kubelets) trouble() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(k.silent)) {
		if s := k.silent[name]; s.times >= failuresUntilTrouble {
			errs = append(errs, fmt.Errorf("no resource figures of node %s: %w", name, s.err))
		}
	}
	return errors.Join(errs...)
}

func isReady(node *corev1.Node) bool {
	return slices.ContainsFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}
