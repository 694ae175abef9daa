package lab

import (
	"net/netip"
	"strings"
	"testing"
)

func TestNATSitesMayShareTheirPrivateSubnet(t *testing.T) {
	p, err := ServerAndEdges(2).addresses()
	if err != nil {
		t.Fatal(err)
	}
	a, b := p.sites[1], p.sites[2]
	if a.lan != b.lan || a.hosts[0].addr != b.hosts[0].addr {
		t.Errorf("sites differ inside: %v %v", a, b)
	}
	if a.wan == b.wan {
		t.Errorf("both gateways have %s", a.wan)
	}
	if got := p.sites[0].hosts[0].addr; got != netip.MustParsePrefix("203.0.113.2/28") {
		t.Errorf("server has %s", got)
	}
}

func TestTopologyMistakesAreAllNamed(t *testing.T) {
	_, err := Topology{Sites: []Site{
		{Name: "a", Hosts: []string{"h", "h"}},
		{Name: "a", Hosts: []string{"Not-A-Name"}},
		{Name: "small", Subnet: netip.MustParsePrefix("10.0.0.0/29"), Hosts: []string{"x"}},
	}}.addresses()
	for _, want := range []string{`host "h" is there twice`, `site "a" is there twice`, `"Not-A-Name"`, "no address in 10.0.0.0/29"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in: %v", want, err)
		}
	}
}

func TestKernelAddresses(t *testing.T) {
	for text, want := range map[string]string{
		"0100007F:192B":                         "127.0.0.1:6443",
		"00000000000000000000000001000000:0016": "[::1]:22",
		"00000000000000000000000000000000:0050": "[::]:80",
		"0000000000000000FFFF00000100007F:0050": "127.0.0.1:80",
	} {
		if got, err := kernelAddr(text); err != nil || got.String() != want {
			t.Errorf("%s: got %s, %v, want %s", text, got, err, want)
		}
	}
}
