package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/kedge-io/kedge/internal/wire"
)

// returning brings the node's object back when a restore of the cluster has undone
// that the node ever joined (ADR 39). What a person deleted stays deleted.
type returning struct {
	cfg    Config
	client kubernetes.Interface
	// made is what kubelet registered with.
	made *registration
	// restores asks the server what restores have undone.
	restores func(context.Context) (wire.Restores, error)

	// seen is nil for an object that was not seen yet or is missed no more.
	seen atomic.Pointer[sighting]
	// refused tells that the API does not let the node ask.
	refused atomic.Bool
	// reclaimed tells that it was asked for that already.
	reclaimed bool
}

// sighting is what was seen of one object: at which revisions, the lowest and the
// highest, and how it was last.
type sighting struct {
	first, last int64
	node        *corev1.Node
}

// saw notes the object as it is. Its calls come one after another.
func (r *returning) saw(node *corev1.Node) {
	revision, err := strconv.ParseInt(node.ResourceVersion, 10, 64)
	if err != nil {
		return // of a datastore whose revisions cannot be compared
	}
	s := sighting{first: revision, last: revision, node: node}
	if before := r.seen.Load(); before != nil && before.node.UID == node.UID {
		s.first, s.last = min(before.first, revision), max(before.last, revision)
	}
	r.seen.Store(&s)
}

// gone notes that the object is there no more. That it was deleted is an event of
// its own, with the object; where it is just missing after an interruption, nobody
// has said why.
func (r *returning) gone(obj any) {
	if _, missing := obj.(cache.DeletedFinalStateUnknown); !missing {
		r.seen.Store(nil)
	}
}

// failed notes whether the API refuses the node, as the gate of a server does whose
// firewall lets in members only (ADR 27). It returns true if it does.
func (r *returning) failed(err error) bool {
	if !apierrors.IsForbidden(err) {
		return false
	}
	r.refused.Store(true)
	return true
}

// comeBack does what has to be done about an object that is missing, or cannot be
// seen. Was is what had been seen before it was looked for: what is seen since is
// there. It returns whether the node was registered again.
func (r *returning) comeBack(ctx context.Context, was *sighting, missing bool) (done bool, err error) {
	made := r.made.node.Load()
	switch {
	case made == nil: // a kubelet that does not register, or not yet
	case was != nil:
		restores, err := r.restores(ctx)
		if err != nil {
			return false, fmt.Errorf("ask why node %s is missing: %w", r.cfg.NodeName, err)
		}
		if done = restores.Undid(was.first, was.last); done {
			if err := r.register(ctx, was.node, made); err != nil {
				return false, err
			}
		}
		if done || missing {
			r.seen.CompareAndSwap(was, nil)
		}
	case r.refused.Load() && !r.reclaimed:
		// Since the process started the object was never seen. Whether the machine
		// has a place, its server knows; then kubelet registers by itself.
		if err := r.reclaim(ctx); err != nil {
			return false, err
		}
		r.reclaimed = true
	}
	r.refused.Store(false)
	return done, nil
}

// register makes the object anew, as kubelet did it first. Conditions that are not
// kubelet's are taken over from the former one, because those who told them do it on
// change only.
func (r *returning) register(ctx context.Context, was, made *corev1.Node) error {
	// First, because by now another machine may have the name.
	if err := r.reclaim(ctx); err != nil {
		return err
	}
	node := made.DeepCopy()
	for _, c := range was.Status.Conditions {
		if !slices.ContainsFunc(node.Status.Conditions, func(o corev1.NodeCondition) bool { return o.Type == c.Type }) {
			node.Status.Conditions = append(node.Status.Conditions, c)
		}
	}
	_, err := r.client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("register node %s again: %w", r.cfg.NodeName, err)
	}
	return nil
}

func (r *returning) reclaim(ctx context.Context) error {
	if r.cfg.Reclaim == nil {
		return nil
	}
	if err := r.cfg.Reclaim(ctx); err != nil {
		return fmt.Errorf("take the name %s again in a cluster that was restored: %w", r.cfg.NodeName, err)
	}
	return nil
}

// askRestores asks the supervisor of the server that answers for the API.
func askRestores(client kubernetes.Interface) func(context.Context) (wire.Restores, error) {
	return func(ctx context.Context) (wire.Restores, error) {
		text, err := client.CoreV1().RESTClient().Get().AbsPath(wire.PathRestores).Do(ctx).Raw()
		if apierrors.IsNotFound(err) {
			return wire.Restores{}, nil // a server of a former version
		}
		var restores wire.Restores
		if err == nil {
			err = json.Unmarshal(text, &restores)
		}
		return restores, err
	}
}
