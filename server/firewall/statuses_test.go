package firewall

import (
	"net/netip"
	"testing"

	"github.com/kedge-io/kedge/edgefw/model"
)

func TestAChangedAddressSetIsAnotherContentOfTheFirewallsThatNameIt(t *testing.T) {
	of := func(name string) model.Firewall {
		return model.Firewall{Ingress: model.Section{Rules: []model.Rule{{Peers: []model.Peer{{AddressSet: name}}}}}}
	}
	set := func(prefix string) model.AddressSet {
		return model.AddressSet{Prefixes: []netip.Prefix{netip.MustParsePrefix(prefix)}}
	}
	before := map[string]model.AddressSet{"a": set("192.0.2.0/24"), "b": set("198.51.100.0/24")}
	after := map[string]model.AddressSet{"a": set("192.0.2.0/25"), "b": before["b"]}
	if contentOf(of("a"), before) == contentOf(of("a"), after) {
		t.Error("a changed set makes no difference")
	}
	if contentOf(of("b"), before) != contentOf(of("b"), after) {
		t.Error("another firewall's set makes a difference")
	}
	if contentOf(of("c"), before) == contentOf(of("b"), before) {
		t.Error("sets of other names are the same")
	}
}
