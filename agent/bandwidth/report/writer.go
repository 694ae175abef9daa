package report

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kedge-io/kedge/api/edge/v1alpha1"
	"github.com/kedge-io/kedge/internal/lifecycle"
)

const (
	// gather is how long changes are gathered after a write.
	gather = 5 * time.Second
	// look is how often the report is looked for in the API although nothing has
	// changed: somebody may have deleted it. One small request per node.
	look = 5 * time.Minute
	// retryMin and retryMax bound the pause after a write that was not taken.
	retryMin = time.Second
	retryMax = time.Minute
	// patience is how long the API may take for one write: an answer that is
	// lost on the way never comes.
	patience = 30 * time.Second
)

// writer keeps one object as latest says.
type writer struct {
	node   string
	log    *slog.Logger
	api    reports
	latest func() *v1alpha1.NodeBandwidthStatus

	// stored is the object as it was last written or read, nil for not known.
	stored *v1alpha1.NodeBandwidth
}

// run writes after each note in wake, and looks now and then, until ctx ends.
func (w *writer) run(ctx context.Context, wake <-chan struct{}) error {
	retry := retryMin
	for {
		wrote, err := w.once(ctx)
		if err == nil {
			retry = retryMin
			if wrote && !lifecycle.Pause(ctx, gather) || !w.wait(ctx, wake) {
				return ctx.Err()
			}
			continue
		}
		if retry == retryMin && ctx.Err() == nil {
			w.log.Warn("report of bandwidth not written, will be tried again", "error", err)
		}
		if !lifecycle.Pause(ctx, retry/2+rand.N(retry)) {
			return ctx.Err()
		}
		retry = min(2*retry, retryMax)
	}
}

// wait returns when there may be something to do, or false when ctx ends first.
func (w *writer) wait(ctx context.Context, wake <-chan struct{}) bool {
	timer := time.NewTimer(look/2 + rand.N(look))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-wake:
	case <-timer.C:
		w.stored = nil
	}
	return true
}

// once brings the object to what it should be, and tells whether it wrote.
func (w *writer) once(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	want := w.latest()
	if want == nil || w.stored != nil && same(*want, w.stored.Status) {
		return false, nil
	}
	if w.stored == nil {
		if err := w.read(ctx); err != nil {
			return false, err
		}
		if w.stored != nil && same(*want, w.stored.Status) {
			return false, nil
		}
	}
	return true, w.write(ctx, *want)
}

func (w *writer) read(ctx context.Context) error {
	have, err := w.api.Get(ctx, w.node, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read NodeBandwidth %s: %w", w.node, err)
	}
	w.stored = have
	return nil
}

func (w *writer) write(ctx context.Context, want v1alpha1.NodeBandwidthStatus) error {
	var err error
	now := metav1.NewTime(time.Now().Truncate(time.Second))
	if w.stored == nil {
		fresh := &v1alpha1.NodeBandwidth{ObjectMeta: metav1.ObjectMeta{Name: w.node}, Status: stamp(want, nil, now)}
		w.stored, err = w.api.Create(ctx, fresh, metav1.CreateOptions{})
	} else {
		next := w.stored.DeepCopy()
		next.Status = stamp(want, w.stored.Status.Conditions, now)
		w.stored, err = w.api.Update(ctx, next, metav1.UpdateOptions{})
	}
	if err != nil {
		w.stored = nil // a conflict, or somebody deleted it: look again
		return fmt.Errorf("write NodeBandwidth %s: %w", w.node, err)
	}
	return nil
}

// stamp adds the times. A condition that keeps its status keeps its time.
func stamp(want v1alpha1.NodeBandwidthStatus, had []metav1.Condition, now metav1.Time) v1alpha1.NodeBandwidthStatus {
	out := *want.DeepCopy()
	out.LastChange = &now
	for i, c := range out.Conditions {
		out.Conditions[i].LastTransitionTime = now
		if old := meta.FindStatusCondition(had, c.Type); old != nil && old.Status == c.Status {
			out.Conditions[i].LastTransitionTime = old.LastTransitionTime
		}
	}
	return out
}

// same compares without times.
func same(a, b v1alpha1.NodeBandwidthStatus) bool {
	return apiequality.Semantic.DeepEqual(timeless(a), timeless(b))
}

func timeless(s v1alpha1.NodeBandwidthStatus) v1alpha1.NodeBandwidthStatus {
	out := *s.DeepCopy()
	out.LastChange = nil
	for i := range out.Conditions {
		out.Conditions[i].LastTransitionTime = metav1.Time{}
	}
	return out
}
