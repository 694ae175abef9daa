package clusternet

import (
	"net/netip"
	"strings"
	"testing"
)

func TestDefaultPlanIsValid(t *testing.T) {
	p := Default()
	if err := p.Validate([]netip.Addr{netip.MustParseAddr("192.168.1.5")}); err != nil {
		t.Fatal(err)
	}
	if p.APIService().String() != "10.43.0.1" {
		t.Fatalf("kubernetes service at %s", p.APIService())
	}
}

func TestBadPlansNameTheOptionAndTheRemedy(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*Plan)
		want   []string
	}{
		"overlap":        {func(p *Plan) { p.Services = netip.MustParsePrefix("10.42.128.0/17") }, []string{"overlap", "10.42.0.0/16"}},
		"dns outside":    {func(p *Plan) { p.DNS = netip.MustParseAddr("10.96.0.10") }, []string{"--cluster-dns 10.96.0.10", "10.43.0.10"}},
		"dns on api":     {func(p *Plan) { p.DNS = netip.MustParseAddr("10.43.0.1") }, []string{"kubernetes service"}},
		"host inside":    {func(p *Plan) { p.Pods = netip.MustParsePrefix("192.168.0.0/16") }, []string{"192.168.1.5", "--cluster-cidr"}},
		"unmasked":       {func(p *Plan) { p.Pods = netip.MustParsePrefix("10.42.1.0/16") }, []string{"write 10.42.0.0/16"}},
		"too small":      {func(p *Plan) { p.Pods = netip.MustParsePrefix("10.42.0.0/25") }, []string{"too small"}},
		"not a range":    {func(p *Plan) { p.Pods = netip.Prefix{} }, []string{"--cluster-cidr is not a range"}},
		"ipv6":           {func(p *Plan) { p.Pods = netip.MustParsePrefix("fd00::/48") }, []string{"not IPv4"}},
		"bad domain":     {func(p *Plan) { p.Domain = "Cluster_Local" }, []string{"--cluster-domain", "cluster.local"}},
		"trailing point": {func(p *Plan) { p.Domain = "cluster.local." }, []string{"--cluster-domain"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := Default()
			tc.change(&p)
			err := p.Validate([]netip.Addr{netip.MustParseAddr("192.168.1.5")})
			for _, want := range tc.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%v does not mention %q", err, want)
				}
			}
		})
	}
}
