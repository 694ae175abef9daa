package kube

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
)

const nodesPath = "/api/v1/nodes"

// registration is the Node with which kubelet registers: its labels, taints and
// what the machine has. kubelet does that once in the life of the process, whether
// the object is there already or not.
type registration struct{ node atomic.Pointer[corev1.Node] }

// wrap watches the requests of kubelet for its registration.
func (g *registration) wrap(next http.RoundTripper) http.RoundTripper {
	return &registering{next: next, seen: g}
}

type registering struct {
	next http.RoundTripper
	seen *registration
}

// RoundTrip implements [http.RoundTripper].
func (t *registering) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodPost || r.URL.Path != nodesPath || r.Body == nil {
		return t.next.RoundTrip(r)
	}
	body, err := io.ReadAll(r.Body)
	_ = r.Body.Close()
	if err != nil {
		return nil, fmt.Errorf("read the registration of kubelet: %w", err)
	}
	var node corev1.Node
	if runtime.DecodeInto(scheme.Codecs.UniversalDeserializer(), body, &node) == nil {
		t.seen.node.Store(&node)
	}
	same := r.Clone(r.Context())
	same.Body = io.NopCloser(bytes.NewReader(body))
	same.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	return t.next.RoundTrip(same)
}
