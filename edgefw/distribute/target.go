package distribute

import (
	"fmt"
	"net/netip"

	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/protocol"
)

// target is a ruleset as it travels. It does not change.
type target struct {
	ruleset  *model.Ruleset
	manifest protocol.Manifest
	root     protocol.Hash
}

// makeTarget hashes a ruleset. What was hashed before is known by where it is in
// memory: nobody changes what was compiled.
func (l *library) makeTarget(rs *model.Ruleset) (*target, error) {
	t := &target{ruleset: rs, manifest: protocol.Manifest{Sets: make(map[model.SetID]protocol.Hash, len(rs.Sets))}}
	var err error
	if t.manifest.Host, err = l.hosts.hash(rs.Host); err != nil {
		return nil, err
	}
	if t.manifest.Pods, err = protocol.HashPods(rs.Pods); err != nil {
		return nil, err
	}
	for id, set := range rs.Sets {
		hash, ok := l.hashes[placeOf(set)]
		if !ok {
			if hash, err = protocol.HashSet(set); err != nil {
				return nil, fmt.Errorf("set %s: %w", id, err)
			}
		}
		t.manifest.Sets[id] = hash
	}
	t.root = t.manifest.Root()
	return t, nil
}

// place is where the prefixes of a set are in memory, zero for none. The pointer
// keeps the place from being used for something else.
type place struct {
	first *netip.Prefix
	n     int
}

func placeOf(set model.Set) place {
	if len(set.Prefixes) == 0 || set.Name != "" || len(set.Pods) > 0 {
		return place{}
	}
	return place{&set.Prefixes[0], len(set.Prefixes)}
}

// hosts remembers the hashes of the hosts' rules that it met since the latest
// turn and in the one before.
type hosts struct{ before, now map[hostPlace]protocol.Hash }

// hostPlace is where rules of hosts are, and all else that they say.
type hostPlace struct {
	in, out   *model.HostRule
	nIn, nOut int
	defaults  [2]model.Action
	from      [2]string
	cut       bool
}

func placeOfHost(rules model.HostRules) hostPlace {
	in, out := rules.Ingress, rules.Egress
	at := hostPlace{
		nIn: len(in.Rules), nOut: len(out.Rules), cut: rules.Cut,
		defaults: [2]model.Action{in.Default, out.Default}, from: [2]string{in.DefaultFrom, out.DefaultFrom},
	}
	if len(in.Rules) > 0 {
		at.in = &in.Rules[0]
	}
	if len(out.Rules) > 0 {
		at.out = &out.Rules[0]
	}
	return at
}

func (h *hosts) turn() { h.before, h.now = h.now, map[hostPlace]protocol.Hash{} }

func (h *hosts) hash(rules model.HostRules) (protocol.Hash, error) {
	at := placeOfHost(rules)
	hash, ok := h.now[at]
	if ok {
		return hash, nil
	}
	if hash, ok = h.before[at]; !ok {
		var err error
		if hash, err = protocol.HashHost(rules); err != nil {
			return hash, err
		}
	}
	h.now[at] = hash
	return hash, nil
}
