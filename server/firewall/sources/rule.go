package sources

import (
	"fmt"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/kedge-io/kedge/api/edge/v1alpha1"
	"github.com/kedge-io/kedge/edgefw/model"
)

// Bounds of limits, as the API server checks them.
const (
	maxRate        = 10_000
	maxConnections = 1_000_000
)

func (p *problems) rule(at string, r *v1alpha1.FirewallRule) model.Rule {
	out := model.Rule{Name: r.Name, Log: r.Log}
	switch action := model.Action(r.Action); action {
	case model.Allow, model.Deny, model.Reject, model.Log:
		out.Action = action
	default:
		p.add(at+".action", r.Action, "use allow, deny, reject or log")
	}
	switch protocol := model.Protocol(r.Protocol); protocol {
	case "any", model.AnyProtocol:
	case model.TCP, model.UDP, model.ICMP:
		out.Protocol = protocol
	default:
		p.add(at+".protocol", r.Protocol, "use tcp, udp, icmp or any")
	}
	if len(r.Ports) > 0 && out.Protocol != model.TCP && out.Protocol != model.UDP {
		p.add(at+".protocol", r.Protocol, "ports need protocol tcp or udp")
	}
	for i, port := range r.Ports {
		out.Ports = append(out.Ports, p.port(fmt.Sprintf("%s.ports[%d]", at, i), port))
	}
	for i := range r.Peers {
		out.Peers = append(out.Peers, p.peer(fmt.Sprintf("%s.peers[%d]", at, i), &r.Peers[i]))
	}
	if (r.Rate != nil || r.Connections != nil) && out.Action != model.Allow {
		p.add(at+".action", r.Action, "rate and connections limit what a rule allows: use allow")
	}
	out.Rate = p.rate(at+".rate", r.Rate)
	out.Connections = p.connections(at+".connections", r.Connections)
	return out
}

// port is 22, "22" or "8000-8010".
func (p *problems) port(field string, v intstr.IntOrString) model.PortRange {
	first, last, isRange := strings.Cut(v.String(), "-")
	if !isRange {
		last = first
	}
	a, errA := strconv.ParseUint(first, 10, 16)
	b, errB := strconv.ParseUint(last, 10, 16)
	if errA != nil || errB != nil || a == 0 || a > b {
		p.add(field, v.String(), `write a number from 1 to 65535, or a range such as "8000-8010" with the lower one first`)
		return model.PortRange{}
	}
	return model.PortRange{First: uint16(a), Last: uint16(b)}
}

func (p *problems) rate(field string, r *v1alpha1.FirewallRate) *model.RateLimit {
	if r == nil {
		return nil
	}
	count := p.between(field+".count", r.Count, 1, maxRate)
	burst := count
	if r.Burst != nil {
		burst = p.between(field+".burst", *r.Burst, 1, maxRate)
	}
	out := &model.RateLimit{Count: uint32(count), Burst: uint32(burst), Per: p.by(field+".by", r.By)}
	switch r.Interval {
	case "", "second":
		out.Seconds = 1
	case "minute":
		out.Seconds = 60
	case "hour":
		out.Seconds = 3600
	default:
		p.add(field+".interval", r.Interval, "use second, minute or hour")
	}
	return out
}

func (p *problems) connections(field string, c *v1alpha1.FirewallConnections) *model.ConnectionLimit {
	if c == nil {
		return nil
	}
	limit := p.between(field+".max", c.Max, 1, maxConnections)
	return &model.ConnectionLimit{Max: uint32(limit), Per: p.by(field+".by", c.By)}
}

func (p *problems) by(field string, by v1alpha1.FirewallBy) model.Per {
	switch per := model.Per(by); per {
	case "":
		return model.PerSource
	case model.PerSource, model.PerRule:
		return per
	}
	p.add(field, by, "use source or rule")
	return model.PerSource
}
