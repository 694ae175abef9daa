package kube

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
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

// leaseStep is how far a lease goes forward while the clock is behind what was said
// before: less than the 10 s between two renewals, so that time catches up.
const leaseStep = time.Second

// leases corrects when kubelet says that it renewed its lease, where the machine's
// clock is wrong. The controllers take a lease for renewed only when its time
// goes forward: a node that wakes up in 1970 would never be Ready again, nor would
// one whose clock was ahead and is right now until that time has come.
type leases struct {
	next      http.RoundTripper
	now, wall func() time.Time

	mu   sync.Mutex
	last time.Time // what the lease says, or more
}

// RoundTrip implements [http.RoundTripper].
func (l *leases) RoundTrip(r *http.Request) (*http.Response, error) {
	if !strings.HasPrefix(r.URL.Path, leasePath) {
		return l.next.RoundTrip(r)
	}
	switch r.Method {
	case http.MethodGet:
		response, err := l.next.RoundTrip(r)
		if err == nil && response.StatusCode == http.StatusOK {
			err = l.learn(response)
		}
		return response, err
	case http.MethodPut, http.MethodPost:
		if shift := l.forward().Sub(l.wall()); shift.Abs() >= leaseShift {
			changed, err := correct(r, shift)
			if err != nil {
				return nil, err
			}
			r = changed
		}
	}
	return l.next.RoundTrip(r)
}

// forward is now, or somewhat more than what was said last.
func (l *leases) forward() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if !now.After(l.last) {
		now = l.last.Add(leaseStep)
	}
	l.last = now
	return now
}

// learn finds out what an earlier process has said. A lease that cannot be read says
// nothing.
func (l *leases) learn(response *http.Response) error {
	body, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil {
		return fmt.Errorf("read a lease for kubelet: %w", err)
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	var lease coordinationv1.Lease
	if err := runtime.DecodeInto(scheme.Codecs.UniversalDeserializer(), body, &lease); err != nil || lease.Spec.RenewTime == nil {
		return nil //nolint:nilerr // kubelet tells it better
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if said := lease.Spec.RenewTime.Time; said.After(l.last) {
		l.last = said
	}
	return nil
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
