package sources

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kedge-io/kedge/api/edge/v1alpha1"
)

// maxProblem is what the definition allows, in bytes.
const maxProblem = 512

// write writes the status if it is another one, at most once in a pause. What
// fails is tried again after one.
func (k *keeper) write(ctx context.Context) {
	select {
	case <-k.known:
	default:
		return
	}
	status := k.sum()
	if equality.Semantic.DeepEqual(status, k.status) {
		return
	}
	if wait := k.s.cfg.Pause - time.Since(k.wrote); wait > 0 {
		k.again.Reset(wait)
		return
	}
	obj, exists, _ := k.s.objects.GetStore().GetByKey(k.set.Name)
	now, ok := obj.(*v1alpha1.AddressSet)
	if !exists || !ok || now.UID != k.set.UID || now.Generation != k.set.Generation {
		return // another keeper takes over
	}
	next := *now
	next.Status = status
	k.wrote = time.Now()
	switch err := k.s.api.write(ctx, &next); {
	case err == nil:
		k.status = status
		return
	case ctx.Err() != nil, apierrors.IsConflict(err), apierrors.IsNotFound(err): // the next time is with what is there then
	default:
		k.s.log.Debug("the status of an address set was not written yet", "set", k.set.Name, "error", err)
	}
	k.again.Reset(k.s.cfg.Pause)
}

// sum makes the status of what is known.
func (k *keeper) sum() v1alpha1.AddressSetStatus {
	status := v1alpha1.AddressSetStatus{ObservedGeneration: k.set.Generation}
	status.IPv4, status.IPv6 = count(k.s.Sets()[k.set.Name].Prefixes)
	var failed, left []string
	for _, source := range order() {
		r := k.read[source]
		if r == nil {
			continue
		}
		out := v1alpha1.AddressSource{Source: source, Count: int32(len(r.Prefixes)), Problem: r.problem}
		if !r.Changed.IsZero() {
			changed := metav1.NewTime(r.Changed).Rfc3339Copy()
			out.Changed = &changed
		}
		if r.problem != "" {
			failed = append(failed, string(source))
		}
		if r.left {
			left = append(left, string(source))
			out.Problem = fmt.Sprintf("left out: together with the sources before it the set would have more than %d addresses and ranges", v1alpha1.MaxAddresses)
		}
		if len(out.Problem) > maxProblem {
			out.Problem = strings.ToValidUTF8(out.Problem[:maxProblem], "")
		}
		status.Sources = append(status.Sources, out)
	}
	status.Conditions = k.conditions(failed, left)
	return status
}

func (k *keeper) conditions(failed, left []string) []metav1.Condition {
	accepted := metav1.Condition{Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonAccepted, Message: "the set can be used"}
	if len(left) > 0 {
		accepted.Status, accepted.Reason = metav1.ConditionFalse, v1alpha1.ReasonTooMany
		accepted.Message = strings.Join(left, " and ") + " left out: use several sets"
	}
	current := metav1.Condition{Type: v1alpha1.ConditionCurrent, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonCurrent, Message: "all sources were read"}
	if len(failed) > 0 {
		current.Status, current.Reason = metav1.ConditionFalse, v1alpha1.ReasonSourceFailed
		current.Message = strings.Join(failed, " and ") + " could not be read, what was there before counts on: see status.sources"
	}
	var all []metav1.Condition
	for _, c := range k.status.Conditions {
		all = append(all, *c.DeepCopy())
	}
	for _, c := range []metav1.Condition{accepted, current} {
		c.ObservedGeneration = k.set.Generation
		meta.SetStatusCondition(&all, c)
	}
	for i := range all {
		all[i].LastTransitionTime = metav1.NewTime(all[i].LastTransitionTime.Time).Rfc3339Copy()
	}
	return all
}

func count(all []netip.Prefix) (ipv4, ipv6 int32) {
	for _, p := range all {
		if p.Addr().Is4() {
			ipv4++
		} else {
			ipv6++
		}
	}
	return ipv4, ipv6
}
