package edgefw

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/plan"
	"github.com/kedge-io/kedge/edgefw/protocol"
)

// candidate is something that can be enforced. It is not changed.
type candidate struct {
	revision uint64
	ruleset  *model.Ruleset
	manifest protocol.Manifest
	// names are the addresses of DNS names.
	names map[string][]netip.Addr
	// people is the hash of the host's rules without those that only open ports
	// of load balancers: what can cut a node off, and changes when somebody
	// wants it to.
	people protocol.Hash
}

// newCandidate hashes rs unless its manifest is at hand.
func newCandidate(revision uint64, rs *model.Ruleset, manifest *protocol.Manifest, names map[string][]netip.Addr) (candidate, error) {
	c := candidate{revision: revision, ruleset: rs, names: names}
	var err error
	if c.people, err = protocol.HashHost(withoutServices(rs.Host)); err != nil {
		return c, err
	}
	if manifest != nil {
		c.manifest = *manifest
		return c, nil
	}
	c.manifest, err = protocol.ManifestOf(rs)
	return c, err
}

// same tells that both enforce the same.
func (c candidate) same(o candidate) bool {
	return c.manifest.Host == o.manifest.Host && c.sameBut(o)
}

// sameBut is same without the host's rules.
func (c candidate) sameBut(o candidate) bool {
	return c.manifest.Pods == o.manifest.Pods && maps.Equal(c.manifest.Sets, o.manifest.Sets) && sameNames(c.names, o.names)
}

func sameNames(a, b map[string][]netip.Addr) bool {
	return maps.EqualFunc(a, b, slices.Equal[[]netip.Addr])
}

// servicePrefix begins the ID of rules that open ports of load balancers.
const servicePrefix = "service/"

func isService(r model.HostRule) bool { return strings.HasPrefix(r.ID, servicePrefix) }

// withoutServices leaves out what opens ports of load balancers.
func withoutServices(h model.HostRules) model.HostRules {
	h.Ingress.Rules = without(h.Ingress.Rules)
	return h
}

func without(rules []model.HostRule) []model.HostRule {
	if !slices.ContainsFunc(rules, isService) {
		return rules
	}
	return slices.DeleteFunc(slices.Clone(rules), isService)
}

// keys name the parts of c that can be refused one by one: the host's rules, each
// set, the pods' rules, each DNS name with its addresses.
func (c candidate) keys() map[string]bool {
	keys := map[string]bool{keyHost + c.people.String(): true, keyPods + c.manifest.Pods.String(): true}
	for id := range c.manifest.Sets {
		keys[c.keyOfSet(id)] = true
	}
	for name := range c.names {
		keys[c.keyOfName(name)] = true
	}
	return keys
}

// What keys begin with.
const (
	keyHost = "host/"
	keyPods = "pods/"
	keySet  = "set/"
	keyName = "name/"
)

func (c candidate) keyOfSet(id model.SetID) string {
	return keySet + string(id) + "/" + c.manifest.Sets[id].String()
}

func (c candidate) keyOfName(name string) string { return keyName + name + fmt.Sprint(c.names[name]) }

// keysOfHost tells which keys of c are about the host, also with the host's rules
// of former.
func (c candidate) keysOfHost(former *model.Ruleset) func(key string) bool {
	sets := map[string]bool{}
	for _, host := range []model.HostRules{c.ruleset.Host, former.Host} {
		for _, id := range setsOf(&model.Ruleset{Host: host}) {
			sets[c.keyOfSet(id)] = true
		}
	}
	return func(key string) bool {
		return strings.HasPrefix(key, keyHost) || strings.HasPrefix(key, keyName) || sets[key]
	}
}

// instead is c where each part that objected names is former's, and has former's
// revision. Where former has no such set, it is empty: its rules match nothing.
func (c candidate) instead(former candidate, objected func(key string) bool) (candidate, error) {
	rs := &model.Ruleset{Host: c.ruleset.Host, Pods: c.ruleset.Pods, Sets: map[model.SetID]model.Set{}}
	if objected(keyHost + c.people.String()) {
		rs.Host = former.ruleset.Host
		rs.Host.Ingress.Rules = slices.Concat(without(former.ruleset.Host.Ingress.Rules), services(c.ruleset.Host.Ingress.Rules))
	}
	if objected(keyPods + c.manifest.Pods.String()) {
		rs.Pods = former.ruleset.Pods
	}
	m := protocol.Manifest{Sets: map[model.SetID]protocol.Hash{}}
	for _, id := range setsOf(rs) {
		from := c
		if _, ok := c.ruleset.Sets[id]; !ok || objected(c.keyOfSet(id)) {
			from = former
		}
		rs.Sets[id], m.Sets[id] = from.ruleset.Sets[id], from.manifest.Sets[id]
	}
	names := maps.Clone(c.names)
	for name := range c.names {
		if objected(c.keyOfName(name)) {
			names[name] = former.names[name]
		}
	}
	var err error
	if m.Host, err = protocol.HashHost(rs.Host); err != nil {
		return candidate{}, err
	}
	if m.Pods, err = protocol.HashPods(rs.Pods); err != nil {
		return candidate{}, err
	}
	return newCandidate(former.revision, rs, &m, names)
}

func services(rules []model.HostRule) []model.HostRule {
	return slices.DeleteFunc(slices.Clone(rules), func(r model.HostRule) bool { return !isService(r) })
}

// setsOf are the sets that are in force without being named by a rule or that
// rules name, sorted.
func setsOf(rs *model.Ruleset) []model.SetID {
	used := []model.SetID{rs.Pods.IsolatedIngress, rs.Pods.IsolatedEgress, plan.KnownSet}
	for _, rules := range [][]model.HostRule{rs.Host.Ingress.Rules, rs.Host.Egress.Rules} {
		for _, r := range rules {
			used = append(used, r.Peers...)
		}
	}
	for _, rules := range [][]model.PodRule{rs.Pods.Ingress, rs.Pods.Egress} {
		for _, r := range rules {
			used = append(append(used, r.Pods), r.Peers...)
		}
	}
	slices.Sort(used)
	return slices.DeleteFunc(slices.Compact(used), func(id model.SetID) bool { return id == "" })
}
