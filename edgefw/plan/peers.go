package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"

	"go4.org/netipx"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/kedge-io/kedge/edgefw/model"
)

// source tells what is in a set, independently of what that is now. One of its
// fields is used.
type source struct {
	prefixes   []netip.Prefix
	addressSet string
	name       string
	nodes      labels.Selector
	cluster    bool
	servers    bool
}

// IDs of sets that are the same in all clusters, and the beginnings of others.
const (
	clusterSet model.SetID = "cluster"
	serversSet model.SetID = "servers"
	nearPrefix             = "near/"
)

// peers are the other ends of a rule: anybody, or those in any of the sets.
// Without both, there are none.
type peers struct {
	anybody bool
	sets    []model.SetID // sorted
	sources map[model.SetID]source
}

func peersOf(list []model.Peer) peers {
	if len(list) == 0 {
		return peers{anybody: true}
	}
	p := peers{sources: map[model.SetID]source{}}
	var cidrs netipx.IPSetBuilder
	for i := range list {
		addCIDR(&cidrs, &list[i])
		p.add(&list[i])
	}
	p.addPrefixes(prefixesOf(&cidrs))
	if p.anybody {
		return peers{anybody: true}
	}
	slices.Sort(p.sets)
	p.sets = slices.Compact(p.sets)
	return p
}

// addCIDR takes each peer's exceptions from that peer alone.
func addCIDR(all *netipx.IPSetBuilder, peer *model.Peer) {
	cidr, ok := clean(peer.CIDR)
	if !ok {
		return
	}
	if len(peer.Except) == 0 {
		all.AddPrefix(cidr)
		return
	}
	var one netipx.IPSetBuilder
	one.AddPrefix(cidr)
	for _, except := range peer.Except {
		if except, ok := clean(except); ok {
			one.RemovePrefix(except)
		}
	}
	if set, err := one.IPSet(); err == nil {
		all.AddSet(set)
	}
}

// addPrefixes gives equal prefixes the same set.
func (p *peers) addPrefixes(prefixes []netip.Prefix) {
	switch {
	case everywhere(prefixes):
		p.anybody = true
	case len(prefixes) > 0:
		p.name(cidrSet(prefixes), source{prefixes: prefixes})
	}
}

// cidrSet is the prefix itself where there is one, so that people see it, and
// else a hash of all.
func cidrSet(prefixes []netip.Prefix) model.SetID {
	if len(prefixes) == 1 {
		return model.SetID("cidr/" + prefixes[0].String())
	}
	var text []byte
	for _, prefix := range prefixes {
		text = append(prefix.AppendTo(text), ' ')
	}
	return model.SetID("cidr/" + short(text))
}

func (p *peers) add(peer *model.Peer) {
	switch {
	case peer.AddressSet != "":
		p.name(model.SetID("set/"+peer.AddressSet), source{addressSet: peer.AddressSet})
	case peer.Nodes != nil:
		if id, ok := nodesSet(peer.Nodes); ok {
			p.name(id, source{nodes: peer.Nodes})
		}
	case peer.Cluster:
		p.name(clusterSet, source{cluster: true})
	case peer.Servers:
		p.name(serversSet, source{servers: true})
	case peer.DNS != "":
		name := strings.ToLower(strings.TrimSuffix(peer.DNS, "."))
		p.name(model.SetID("dns/"+name), source{name: name})
	}
}

func (p *peers) name(id model.SetID, s source) {
	p.sets = append(p.sets, id)
	p.sources[id] = s
}

// nodesSet is the ID for a selector; false for one that never matches, whose text
// is that of one that always does.
func nodesSet(selector labels.Selector) (model.SetID, bool) {
	if _, selectable := selector.Requirements(); !selectable {
		return "", false
	}
	switch text := selector.String(); {
	case text == "":
		return "nodes/*", true
	case len(text) <= longestSelector && !strings.ContainsAny(text, " ()"):
		return model.SetID("nodes/" + text), true
	default:
		return model.SetID("nodes/~" + short([]byte(text))), true
	}
}

// longestSelector is what people can read in one line with others.
const longestSelector = 64

// short is enough of a hash to tell a cluster's sets apart.
func short(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// hasNear tells whether a set is about nodes, which have private addresses, too.
func (s source) hasNear() bool { return s.nodes != nil || s.cluster || s.servers }

// nearSet is the set of private addresses beside a set of nodes.
func nearSet(id model.SetID) model.SetID { return nearPrefix + id }
