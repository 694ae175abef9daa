package protocol

import (
	"errors"
	"fmt"
	"maps"

	"github.com/kedge-io/kedge/edgefw/model"
)

// ErrMissing says that an update does not lead from what the node holds to what
// its hash names. The node says Hello again and gets what it lacks.
var ErrMissing = errors.New("the node does not hold what the update builds on")

// Holdings are what a node has got from its server, enforced or not. They are
// for one goroutine.
type Holdings struct {
	ruleset  *model.Ruleset
	manifest Manifest
}

// Hold begins with a ruleset from disk, or with nothing.
func Hold(rs *model.Ruleset) (*Holdings, error) {
	if rs == nil {
		rs = &model.Ruleset{}
	}
	manifest, err := ManifestOf(rs)
	return &Holdings{ruleset: rs, manifest: manifest}, err
}

// Ruleset is what is held. It must not be changed.
func (h *Holdings) Ruleset() *model.Ruleset { return h.ruleset }

// Manifest is that of Ruleset. It must not be changed.
func (h *Holdings) Manifest() Manifest { return h.manifest }

// Hello is what the node says of its holdings; revision is the one that it
// enforces.
func (h *Holdings) Hello(revision uint64, software string) Hello {
	return Hello{Version: Version, Software: software, Revision: revision, Holds: h.manifest}
}

// Take puts an update together with what is held and returns the ruleset that
// comes of it, which is held from then on. Parts that did not change are those
// of the former ruleset. After an error all is as it was; one that wraps
// [ErrMissing] calls for a Hello, any other for an Ack with [StateFailed].
func (h *Holdings) Take(u *Update) (*model.Ruleset, error) {
	next := &Holdings{
		ruleset: &model.Ruleset{Host: h.ruleset.Host, Pods: h.ruleset.Pods, Sets: maps.Clone(h.ruleset.Sets)},
		manifest: Manifest{
			Host: h.manifest.Host, Pods: h.manifest.Pods, Sets: maps.Clone(h.manifest.Sets),
		},
	}
	if next.ruleset.Sets == nil {
		next.ruleset.Sets = map[model.SetID]model.Set{}
	}
	for _, id := range u.Drop {
		delete(next.ruleset.Sets, id)
		delete(next.manifest.Sets, id)
	}
	for _, p := range u.Parts {
		if err := next.put(p); err != nil {
			return nil, fmt.Errorf("revision %d: %w", u.Revision, err)
		}
	}
	if root := next.manifest.Root(); root != u.Root {
		return nil, fmt.Errorf("revision %d: %w: the whole is %.12s, not %.12s", u.Revision, ErrMissing, root, u.Root)
	}
	*h = *next
	return h.ruleset, nil
}

func (h *Holdings) put(p Part) (err error) {
	switch p.Kind {
	case KindHost:
		h.ruleset.Host, err = DecodeHost(p.Body)
		h.manifest.Host = HashOf(p.Body)
	case KindPods:
		h.ruleset.Pods, err = DecodePods(p.Body)
		h.manifest.Pods = HashOf(p.Body)
	case KindSet:
		h.ruleset.Sets[p.Set], err = DecodeSet(p.Body)
		h.manifest.Sets[p.Set] = HashOf(p.Body)
	case KindDelta:
		err = h.change(p)
	default:
		err = fmt.Errorf("a part of kind %q (install the server's kedge version on this node)", p.Kind)
	}
	if err != nil && p.Set != "" {
		return fmt.Errorf("set %s: %w", p.Set, err)
	}
	return err
}

// change applies a delta to the set that it is for.
func (h *Holdings) change(p Part) error {
	d, err := DecodeDelta(p.Body)
	if err != nil {
		return err
	}
	old, ok := h.ruleset.Sets[p.Set]
	if !ok || h.manifest.Sets[p.Set] != d.From {
		return ErrMissing
	}
	set, err := d.Apply(old)
	if err != nil {
		return err
	}
	h.ruleset.Sets[p.Set] = set
	h.manifest.Sets[p.Set], err = HashSet(set)
	return err
}
