package kube

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/client-go/kubernetes/scheme"
)

// recorder keeps the body of what it is sent.
type recorder struct {
	kind string
	body []byte
}

func (r *recorder) RoundTrip(request *http.Request) (*http.Response, error) {
	r.kind = request.Header.Get("Content-Type")
	var err error
	r.body, err = io.ReadAll(request.Body)
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, err
}

func TestLeaseOfAMachineIn1970IsRenewedNow(t *testing.T) {
	wall, now := time.Unix(100, 0), time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "edge-1", Namespace: "kube-node-lease"}}
	lease.Spec.RenewTime = &metav1.MicroTime{Time: wall}
	var body bytes.Buffer
	if err := protobuf.NewSerializer(scheme.Scheme, scheme.Scheme).Encode(withKind(lease), &body); err != nil {
		t.Fatal(err)
	}
	sent := body.Bytes()
	for _, step := range []struct {
		name, method, path string
		now                time.Time
		corrected          bool
	}{
		{"lease", http.MethodPut, leasePath + "/edge-1", now, true},
		{"right clock", http.MethodPut, leasePath + "/edge-1", wall.Add(time.Second), false},
		{"another object", http.MethodPut, "/api/v1/nodes/edge-1", now, false},
	} {
		out := &recorder{}
		l := &leases{next: out, now: func() time.Time { return step.now }, wall: func() time.Time { return wall }}
		r, err := http.NewRequestWithContext(t.Context(), step.method, "https://api"+step.path, bytes.NewReader(sent))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/vnd.kubernetes.protobuf")
		response, err := l.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if !step.corrected {
			if !bytes.Equal(out.body, sent) {
				t.Errorf("%s: was changed", step.name)
			}
			continue
		}
		var got coordinationv1.Lease
		if err := json.Unmarshal(out.body, &got); err != nil || out.kind != "application/json" {
			t.Fatalf("%s: %s %s %v", step.name, out.kind, out.body, err)
		}
		if !got.Spec.RenewTime.Time.Equal(now) || got.Name != "edge-1" {
			t.Errorf("%s: got %+v", step.name, got)
		}
	}
}

func TestLeaseGoesForwardWhenTheClockWasAheadAndIsRightNow(t *testing.T) {
	const ahead = 10 * time.Minute
	right := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	shows := right.Add(ahead) // the machine's clock, and kedge's until a server is reached
	now := shows
	out := &recorder{}
	l := &leases{next: out, now: func() time.Time { return now }, wall: func() time.Time { return shows }}
	put := func() time.Time {
		t.Helper()
		lease := withKind(&coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "edge-1"}, Spec: coordinationv1.LeaseSpec{RenewTime: &metav1.MicroTime{Time: shows}}})
		text, err := json.Marshal(lease)
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "https://api"+leasePath+"/edge-1", bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		response, err := l.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		var got coordinationv1.Lease
		if err := json.Unmarshal(out.body, &got); err != nil {
			t.Fatal(err)
		}
		return got.Spec.RenewTime.Time
	}
	last := put()
	if !last.Equal(shows) {
		t.Fatal("with nothing known it says", last)
	}
	pass := func(d time.Duration) { right, shows, now = right.Add(d), shows.Add(d), right.Add(d) }
	for range 2 * ahead / (10 * time.Second) { // the time is known from now on
		pass(10 * time.Second)
		said := put()
		if !said.After(last) {
			t.Fatalf("it says %s after %s", said, last)
		}
		last = said
	}
	if last.Sub(now).Abs() > time.Second {
		t.Errorf("it says %s at %s still", last, now)
	}
}

func TestLeaseThatAnEarlierProcessHasRenewedGoesForward(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	said := now.Add(time.Hour)
	lease := withKind(&coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "edge-1"}, Spec: coordinationv1.LeaseSpec{RenewTime: &metav1.MicroTime{Time: said}}})
	text, err := json.Marshal(lease)
	if err != nil {
		t.Fatal(err)
	}
	l := &leases{next: answering(text), now: func() time.Time { return now }}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://api"+leasePath+"/edge-1", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := l.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil || !bytes.Equal(got, text) {
		t.Errorf("kubelet reads %s, %v", got, err)
	}
	if next := l.forward(); !next.After(said) {
		t.Errorf("it goes on at %s", next)
	}
}

// answering is a server with one answer.
type answering []byte

func (a answering) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(bytes.NewReader(a))}, nil
}

func withKind(lease *coordinationv1.Lease) *coordinationv1.Lease {
	lease.SetGroupVersionKind(coordinationv1.SchemeGroupVersion.WithKind("Lease"))
	return lease
}
