package firewall

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/cache"

	"github.com/kedge-io/kedge/internal/wire"
)

func (f *Firewall) nodeSeen(obj any) {
	w, ok := obj.(*watchedNode)
	if !ok {
		return
	}
	f.places.exists(w.Name, w.remembered)
	f.Kick()
	f.compare(w.Name)
}

func (f *Firewall) nodeUpdated(before, after any) {
	a, okA := before.(*watchedNode)
	b, okB := after.(*watchedNode)
	if !okA || !okB {
		return
	}
	if a.UID != b.UID {
		f.places.gone(a.Name) // it was deleted and made again
	}
	changed := f.places.exists(b.Name, b.remembered)
	if a.annotation != b.annotation && f.places.told(b.Name, b.remembered) {
		changed = true
	}
	if changed || nodeDiffers(a, b) {
		f.Kick()
	}
	if a.annotation != b.annotation {
		f.compare(b.Name)
	}
}

func (f *Firewall) nodeGone(obj any) {
	key, err := cache.DeletionHandlingObjectToName(obj)
	if err != nil {
		return
	}
	f.places.gone(key.Name)
	f.proofs.forget(key.Name)
	f.Kick()
}

// compare has the annotation of a node compared with what is to be remembered,
// after a while: who roams often does so to and fro.
func (f *Firewall) compare(node string) {
	if node != f.cfg.OwnNode {
		f.annotations.AddAfter(node, f.cfg.Settle)
	}
}

func (f *Firewall) compareAll() {
	for _, w := range list[*watchedNode](f.caches.nodes) {
		if f.annotation(w) != nil {
			f.compare(w.Name)
		}
	}
}

// keepAnnotations writes where nodes come from to their objects, so that a
// server that starts anew knows it before they are back.
func (f *Firewall) keepAnnotations(ctx context.Context) {
	defer context.AfterFunc(ctx, f.annotations.ShutDown)()
	for {
		name, end := f.annotations.Get()
		if end {
			return
		}
		err := f.annotate(ctx, name)
		switch {
		case err == nil || apierrors.IsNotFound(err) || ctx.Err() != nil:
			f.annotations.Forget(name)
		default:
			if f.annotations.NumRequeues(name) == 0 {
				f.log.Warn("a node's address is not on its object yet, trying on", "node", name, "error", err)
			}
			f.annotations.AddRateLimited(name)
		}
		f.annotations.Done(name)
	}
}

func (f *Firewall) annotate(ctx context.Context, name string) error {
	if f.places.settled(name) && f.cfg.Settled != nil {
		if err := f.cfg.Settled(ctx, name); err != nil {
			f.log.Warn("it stays noted where a node joined from", "node", name, "error", err)
		}
	}
	obj, exists, err := f.caches.nodes.GetStore().GetByKey(name)
	if err != nil || !exists {
		return err
	}
	w, ok := obj.(*watchedNode)
	if !ok {
		return nil
	}
	patch := f.annotation(w)
	if patch == nil {
		return nil
	}
	data, err := json.Marshal(patch)
	if err != nil {
		return err
	}
	if err := f.api.annotate(ctx, name, data); err != nil {
		return fmt.Errorf("annotate node %s: %w", name, err)
	}
	return nil
}

// annotation is the merge patch that a node needs, nil for none. The order of
// addresses alone is no reason. It names the UID, so that a node that was deleted
// and made again does not get the addresses of the former one.
func (f *Firewall) annotation(w *watchedNode) map[string]any {
	want := f.places.remember(w.Name)
	if sameAddrs(want, w.remembered) && (w.annotation == "") == (len(want) == 0) {
		return nil
	}
	var value any
	if len(want) > 0 {
		texts := make([]string, 0, len(want))
		for _, a := range want {
			texts = append(texts, a.String())
		}
		value = strings.Join(texts, ",")
	}
	return map[string]any{"metadata": map[string]any{
		"uid":         w.UID,
		"annotations": map[string]any{wire.AnnotationPublicAddress: value},
	}}
}

func sameAddrs(a, b []netip.Addr) bool {
	if len(a) != len(b) {
		return false
	}
	for _, addr := range a {
		if !slices.Contains(b, addr) {
			return false
		}
	}
	return true
}
