package report

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kedge-io/kedge/api/edge/v1alpha1"
	"github.com/kedge-io/kedge/internal/bitrate"
)

// store is an API with one object.
type store struct {
	mu      sync.Mutex
	object  *v1alpha1.NodeBandwidth
	fault   error
	asked   int
	written []time.Time
}

func (s *store) Get(context.Context, string, metav1.GetOptions) (*v1alpha1.NodeBandwidth, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	if s.object == nil {
		return nil, apierrors.NewNotFound(schema.GroupResource{}, "edge")
	}
	return s.object.DeepCopy(), s.fault
}

func (s *store) Create(_ context.Context, r *v1alpha1.NodeBandwidth, _ metav1.CreateOptions) (*v1alpha1.NodeBandwidth, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.write(r)
}

func (s *store) write(r *v1alpha1.NodeBandwidth) (*v1alpha1.NodeBandwidth, error) {
	if s.fault != nil {
		s.asked++
		return nil, s.fault
	}
	s.object = r.DeepCopy()
	s.written = append(s.written, time.Now())
	return r, nil
}

func (s *store) Update(_ context.Context, r *v1alpha1.NodeBandwidth, _ metav1.UpdateOptions) (*v1alpha1.NodeBandwidth, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.object == nil {
		return nil, apierrors.NewNotFound(schema.GroupResource{}, "edge")
	}
	return s.write(r)
}

// change changes the API while the writer uses it.
func (s *store) change(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// seen tells the egress of the object, "" without one, and how often the API was
// asked and written to.
func (s *store) seen() (egress string, asked, written int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.object != nil {
		egress = s.object.Status.Uplinks[0].Egress.String()
	}
	return egress, s.asked, len(s.written)
}

// bench runs a reporter's writer against a store until the test ends.
func bench(t *testing.T, s *store) *Reporter {
	t.Helper()
	r, err := New(Config{NodeName: "edge", Kubeconfig: "/k"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w := &writer{node: "edge", log: r.log, api: s, latest: r.latest}
		_ = w.run(ctx, r.wake)
	}()
	t.Cleanup(func() { cancel(); <-done })
	return r
}

func of(rate bitrate.Rate) Input {
	return Input{Node: node(rate), Requests: map[string]Request{}}
}

func TestReportIsWrittenOnChangeOnlyAndGathered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{}
		r := bench(t, s)
		for range 1000 { // one after another, at 100 a second
			r.Update(of(100 * bitrate.Mbit))
			time.Sleep(10 * time.Millisecond) //nolint:forbidigo // fake time
		}
		if _, _, written := s.seen(); written != 1 {
			t.Fatalf("one report was written %d times", written)
		}
		for i := range 100 {
			r.Update(of(bitrate.Rate(i+1) * bitrate.Mbit))
			time.Sleep(100 * time.Millisecond) //nolint:forbidigo // fake time
		}
		time.Sleep(gather) //nolint:forbidigo // fake time
		if egress, _, written := s.seen(); egress != "100M" || written > 5 {
			t.Errorf("the last report has %s after %d writes", egress, written)
		}
	})
}

func TestUnreachableAPIGetsTheNewestReportLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{fault: errors.New("no route")}
		r := bench(t, s)
		r.Update(of(1 * bitrate.Mbit))
		time.Sleep(time.Hour) //nolint:forbidigo // fake time
		if _, asked, _ := s.seen(); asked > 200 {
			t.Errorf("asked %d times in an hour", asked)
		}
		r.Update(of(2 * bitrate.Mbit))
		s.change(func() { s.fault = nil })
		time.Sleep(2 * retryMax) //nolint:forbidigo // fake time
		if egress, _, written := s.seen(); egress != "2M" || written != 1 {
			t.Errorf("the report has %q after %d writes", egress, written)
		}
	})
}

func TestDeletedReportComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{}
		r := bench(t, s)
		r.Update(of(1 * bitrate.Mbit))
		time.Sleep(time.Minute) //nolint:forbidigo // fake time
		s.change(func() { s.object = nil })
		time.Sleep(2 * look) //nolint:forbidigo // fake time
		if egress, _, written := s.seen(); egress == "" || written != 2 {
			t.Errorf("the report has %q after %d writes", egress, written)
		}
	})
}

func TestConditionsKeepTheirTime(t *testing.T) {
	early, late := metav1.NewTime(time.Unix(1000, 0)), metav1.NewTime(time.Unix(2000, 0))
	first := stamp(status(of(bitrate.Mbit)), nil, early)
	in := of(2 * bitrate.Mbit)
	in.Trouble = "no IFB"
	second := stamp(status(in), first.Conditions, late)
	if got := second.Conditions; !got[0].LastTransitionTime.Equal(&late) || !got[1].LastTransitionTime.Equal(&early) || !second.LastChange.Equal(&late) {
		t.Errorf("times are %+v", got)
	}
}

func TestResourcesTellOfChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, told := publishing(t)
		r.Update(Input{Node: node(bitrate.Gbit)})
		if told() || r.Resources() != nil {
			t.Error("resources before pods are known")
		}
		r.Update(of(bitrate.Gbit))
		if !told() || r.Resources()[egress] == "" {
			t.Errorf("resources are %v", r.Resources())
		}
		time.Sleep(settle) //nolint:forbidigo // fake time
		r.Update(of(bitrate.Gbit))
		// Not known again, after the watch broke: what was said stays.
		r.Update(Input{Node: node(bitrate.Gbit)})
		if told() || r.Resources()[egress] == "" {
			t.Errorf("resources are %v", r.Resources())
		}
	})
}

func TestManyChangesOfResourcesAreGathered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, told := publishing(t)
		changes := 0
		for i := range 1000 {
			r.Update(of(bitrate.Rate(i+1) * bitrate.Mbit))
			if told() {
				changes++
			}
			time.Sleep(10 * time.Millisecond) //nolint:forbidigo // fake time
		}
		time.Sleep(settle) //nolint:forbidigo // fake time
		want := resources(of(1000 * bitrate.Mbit))
		if changes > 11 || r.Resources()[egress] != want[egress] {
			t.Errorf("%d changes, the last is %v, want %v", changes, r.Resources(), want)
		}
	})
}

// publishing returns a reporter that publishes until the test ends, and a look
// at whether it told of a change.
func publishing(t *testing.T) (*Reporter, func() bool) {
	t.Helper()
	r, err := New(Config{NodeName: "edge", Kubeconfig: "/k"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.publish(ctx)
	}()
	t.Cleanup(func() { cancel(); <-done })
	return r, func() bool {
		synctest.Wait()
		select {
		case <-r.Changed():
			return true
		default:
			return false
		}
	}
}
