package plan

import (
	"maps"
	"strconv"

	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/plan/netpol"
)

// nodes makes the ruleset of each.
func (r *run) nodes() Compiled {
	count := len(r.in.Inventory.Nodes)
	out := Compiled{Rulesets: make(map[string]*model.Ruleset, count), Of: make(map[string][]string, count),
		Unreachable: map[string][]Unreachable{}}
	for i := range r.in.Inventory.Nodes {
		n := &r.in.Inventory.Nodes[i]
		s := r.selectionOf(n)
		site := r.sites.of[i]
		out.Rulesets[n.Name] = r.ruleset(n, r.host(s, r.nearOf(site, s)), site)
		out.Of[n.Name] = s.names
		if len(s.unreachable) > 0 {
			out.Unreachable[n.Name] = s.unreachable
		}
	}
	return out
}

// ruleset puts a node's parts together, or finds that it was done before.
func (r *run) ruleset(n *model.Node, h *host, site string) *model.Ruleset {
	p := parts{host: h, common: r.commonOf(h), pods: r.pods.Of(n.Name)}
	for _, id := range h.sets {
		if isOfSite(id) {
			p.add(id, r.set(setKey{id: id, site: site}))
		}
	}
	if n.Server && active(&h.rules.Ingress) {
		p.add(KnownSet, r.set(setKey{id: KnownSet, site: site}))
	}
	key := p.key(r.podsNumber(p.pods))
	for _, m := range []*memory{r.now, r.c.last} {
		if rs, ok := m.rulesets[key]; ok {
			r.now.rulesets[key] = rs
			return rs
		}
	}
	rs := p.assemble()
	r.now.rulesets[key] = rs
	return rs
}

// parts are what one ruleset consists of.
type parts struct {
	host   *host
	common *common
	pods   *netpol.Result
	// ids and sets are those that only the site has.
	ids  []model.SetID
	sets []*set
}

func (p *parts) add(id model.SetID, s *set) {
	p.ids, p.sets = append(p.ids, id), append(p.sets, s)
}

// key is the same as long as all parts are.
func (p *parts) key(pods int) string {
	key := append([]byte(nil), p.common.key...)
	for i, s := range p.sets {
		key = append(append(append(key, ';'), p.ids[i]...), '=')
		key = strconv.AppendInt(key, int64(s.number), 36)
	}
	return string(strconv.AppendInt(append(key, '/'), int64(pods), 36))
}

func (p *parts) assemble() *model.Ruleset {
	rs := &model.Ruleset{Host: p.host.rules, Pods: p.pods.Rules}
	rs.Sets = make(map[model.SetID]model.Set, len(p.common.sets)+len(p.sets)+len(p.pods.Sets))
	maps.Copy(rs.Sets, p.common.sets)
	for i, id := range p.ids {
		rs.Sets[id] = p.sets[i].value
	}
	maps.Copy(rs.Sets, p.pods.Sets)
	return rs
}

// common are the sets of a host's rules that are the same at all sites.
type common struct {
	key  []byte
	sets map[model.SetID]model.Set
}

func (r *run) commonOf(h *host) *common {
	if c, ok := r.common[h]; ok {
		return c
	}
	c := &common{key: strconv.AppendInt(nil, int64(h.number), 36), sets: map[model.SetID]model.Set{}}
	for _, id := range h.sets {
		if isOfSite(id) {
			continue
		}
		s := r.set(setKey{id: id})
		c.sets[id] = s.value
		c.key = strconv.AppendInt(append(c.key, ','), int64(s.number), 36)
	}
	r.common[h] = c
	return c
}

func (r *run) podsNumber(pods *netpol.Result) int {
	number, ok := r.now.pods[pods]
	if !ok {
		if number, ok = r.c.last.pods[pods]; !ok {
			number = r.c.next()
		}
		r.now.pods[pods] = number
	}
	return number
}
