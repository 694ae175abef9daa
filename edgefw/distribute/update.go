package distribute

import (
	"maps"
	"slices"

	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/protocol"
)

// body is what follows the header of an update: the same bytes for all nodes
// that go the same way.
type body struct {
	drop  []model.SetID
	parts int
	bytes []byte
}

// bodyKey is the way from what a node holds to a target.
type bodyKey struct{ from, to protocol.Hash }

// partKey is one part: whole, or from one content to another.
type partKey struct {
	kind     protocol.Kind
	set      model.SetID
	from, to protocol.Hash
}

// body makes the way from what a node holds, whose root is from, to a target.
func (l *library) body(held protocol.Manifest, from protocol.Hash, to *target) (*body, error) {
	return l.bodies.get(bodyKey{from, to.root}, func() (*body, error) { return l.makeBody(held, to) })
}

func (l *library) makeBody(held protocol.Manifest, to *target) (*body, error) {
	b := &body{}
	add := func(frames []byte, err error) error {
		b.parts++
		b.bytes = append(b.bytes, frames...)
		return err
	}
	for id := range held.Sets {
		if _, ok := to.manifest.Sets[id]; !ok {
			b.drop = append(b.drop, id)
		}
	}
	slices.Sort(b.drop)
	if held.Host != to.manifest.Host {
		if err := add(l.host(to)); err != nil {
			return nil, err
		}
	}
	if held.Pods != to.manifest.Pods {
		if err := add(l.pods(to)); err != nil {
			return nil, err
		}
	}
	for _, id := range slices.Sorted(maps.Keys(to.manifest.Sets)) {
		if old, had := held.Sets[id]; !had || old != to.manifest.Sets[id] {
			if err := add(l.set(to, id, old)); err != nil {
				return nil, err
			}
		}
	}
	return b, nil
}

func (l *library) host(to *target) ([]byte, error) {
	return l.parts.get(partKey{kind: protocol.KindHost, to: to.manifest.Host}, func() ([]byte, error) {
		return frames(protocol.KindHost, "")(protocol.EncodeHost(to.ruleset.Host))
	})
}

func (l *library) pods(to *target) ([]byte, error) {
	return l.parts.get(partKey{kind: protocol.KindPods, to: to.manifest.Pods}, func() ([]byte, error) {
		return frames(protocol.KindPods, "")(protocol.EncodePods(to.ruleset.Pods))
	})
}

// set returns the difference to what the node has where that is known and
// shorter, otherwise all of the set. The zero hash is of nothing.
func (l *library) set(to *target, id model.SetID, old protocol.Hash) ([]byte, error) {
	key := partKey{kind: protocol.KindSet, set: id, from: old, to: to.manifest.Sets[id]}
	return l.parts.get(key, func() ([]byte, error) {
		now := to.ruleset.Sets[id]
		former, known := l.content(version{id, old})
		if known {
			if d, ok := protocol.Diff(old, former, now); ok && d.Size() < fullSize(now)/2 {
				return frames(protocol.KindDelta, id)(d.Encode(), nil)
			}
		}
		if old == (protocol.Hash{}) {
			return frames(protocol.KindSet, id)(protocol.EncodeSet(now))
		}
		return l.set(to, id, protocol.Hash{})
	})
}

// fullSize is about that of a whole set, in bytes.
func fullSize(set model.Set) int { return 5 * len(set.Prefixes) }

// frames makes the bytes of a part on the wire.
func frames(kind protocol.Kind, id model.SetID) func([]byte, error) ([]byte, error) {
	return func(b []byte, err error) ([]byte, error) {
		if err != nil {
			return nil, err
		}
		return protocol.AppendPart(nil, protocol.Part{Kind: kind, Set: id, Body: b})
	}
}
