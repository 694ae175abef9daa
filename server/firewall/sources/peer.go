package sources

import (
	"fmt"
	"net/netip"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/kedge-io/kedge/api/edge/v1alpha1"
	"github.com/kedge-io/kedge/edgefw/model"
)

func (p *problems) peer(at string, peer *v1alpha1.FirewallPeer) model.Peer {
	out := model.Peer{AddressSet: peer.AddressSet, Cluster: peer.Cluster, Servers: peer.Servers, DNS: peer.DNS}
	kinds := 0
	for _, is := range []bool{peer.CIDR != "", peer.AddressSet != "", peer.NodeSelector != nil, peer.Cluster, peer.Servers, peer.DNS != ""} {
		if is {
			kinds++
		}
	}
	if kinds != 1 {
		p.add(at, fmt.Sprintf("%d kinds", kinds), "give it exactly one of cidr, addressSet, nodeSelector, cluster, servers and dns")
	}
	if peer.NodeSelector != nil {
		out.Nodes = p.selector(at+".nodeSelector", peer.NodeSelector)
	}
	if peer.DNS != "" && len(validation.IsDNS1123Subdomain(peer.DNS)) > 0 {
		p.add(at+".dns", peer.DNS, "write a host name, for instance time.example.org, in lower case, without * and without a dot at the end")
	}
	if peer.CIDR != "" {
		out.CIDR = p.prefix(at+".cidr", peer.CIDR)
	}
	for i, text := range peer.Except {
		field := fmt.Sprintf("%s.except[%d]", at, i)
		except := p.prefix(field, text)
		if except.IsValid() && (!out.CIDR.IsValid() || except.Bits() < out.CIDR.Bits() || !out.CIDR.Contains(except.Addr())) {
			p.add(field, text, fmt.Sprintf("it must lie within cidr %q", peer.CIDR))
		}
		out.Except = append(out.Except, except)
	}
	return out
}

func (p *problems) prefix(field, text string) netip.Prefix {
	prefix, err := netip.ParsePrefix(text)
	switch {
	case err != nil || prefix.Addr().Is4In6():
		p.add(field, text, "write a range of addresses, for instance 203.0.113.0/24, or 203.0.113.7/32 for one address")
		return netip.Prefix{}
	case prefix != prefix.Masked():
		p.add(field, text, fmt.Sprintf("it has bits beyond its prefix: write %s, or %s for this one address", prefix.Masked(), netip.PrefixFrom(prefix.Addr(), prefix.Addr().BitLen())))
	}
	return prefix
}
