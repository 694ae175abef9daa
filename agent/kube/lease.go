package kube

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
)

const (
	// leasePath begins the paths of the leases of nodes.
	leasePath = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
	// leaseShift is the least error of the clock that is worth a correction: a
	// lease is for 40 s.
	leaseShift = 5 * time.Second
)

// leases corrects when kubelet says that it renewed its lease, where the machine's
// clock is wrong. The controllers take a lease for renewed only when its time
// goes forward: a node that wakes up in 1970 would never be Ready again.
type leases struct {
	next      http.RoundTripper
	now, wall func() time.Time
}

// RoundTrip implements [http.RoundTripper].
func (l *leases) RoundTrip(r *http.Request) (*http.Response, error) {
	shift := l.now().Sub(l.wall())
	writes := r.Method == http.MethodPut || r.Method == http.MethodPost
	if shift.Abs() < leaseShift || !writes || !strings.HasPrefix(r.URL.Path, leasePath) {
		return l.next.RoundTrip(r)
	}
	changed, err := correct(r, shift)
	if err != nil {
		return nil, err
	}
	return l.next.RoundTrip(changed)
}

// correct returns the request with another time, as JSON.
func correct(r *http.Request, shift time.Duration) (*http.Request, error) {
	body, err := io.ReadAll(r.Body)
	_ = r.Body.Close()
	if err != nil {
		return nil, fmt.Errorf("read a lease of kubelet: %w", err)
	}
	var lease coordinationv1.Lease
	if err := runtime.DecodeInto(scheme.Codecs.UniversalDeserializer(), body, &lease); err != nil {
		return nil, fmt.Errorf("read a lease of kubelet: %w", err)
	}
	if lease.Spec.RenewTime != nil {
		lease.Spec.RenewTime.Time = lease.Spec.RenewTime.Add(shift)
	}
	text, err := runtime.Encode(scheme.Codecs.LegacyCodec(coordinationv1.SchemeGroupVersion), &lease)
	if err != nil {
		return nil, fmt.Errorf("write a lease of kubelet: %w", err)
	}
	changed := r.Clone(r.Context())
	changed.Body, changed.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
	changed.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil }
	changed.Header.Set("Content-Type", runtime.ContentTypeJSON)
	return changed, nil
}
