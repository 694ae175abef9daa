package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"time"
)

// The fixed addresses of the simulated internet.
var (
	exchange     = netip.MustParsePrefix("198.51.100.0/24")
	exchangeIP   = netip.MustParseAddr("198.51.100.1") // router and name server
	publicBase   = netip.MustParseAddr("203.0.113.0")
	privateBlock = netip.MustParsePrefix("192.168.1.0/24")
)

const (
	maxSites       = 200 // addresses 10-209 of the exchange
	maxPublicSites = 16  // a /28 each
	firstHost      = 10  // a NAT site's first host is .10
)

// Site is one place with a gateway and hosts behind it.
type Site struct {
	// Name is unique in the topology: up to 8 lower-case letters, digits and dashes.
	Name string
	// Public gives the hosts routable addresses. Otherwise the site is behind NAT and
	// its gateway drops all inbound traffic that is not an answer.
	Public bool
	// Subnet is the private network of a NAT site; zero means 192.168.1.0/24. Several
	// sites may use the same one. It is ignored for public sites.
	Subnet netip.Prefix
	// Delay holds every packet of the uplink back for that long, in each direction. It
	// costs the machine a copy of each packet, so zero is a plain cable.
	Delay time.Duration
	// Hosts are host names, unique in the topology, with the same syntax as Name.
	Hosts []string
}

// Topology is what Up builds.
type Topology struct {
	Sites []Site
	// Roots are root file systems of hosts that do not see the machine's, each a
	// directory that is only read.
	Roots map[string]string
}

// OneServer is a public site "cloud" with the host "server".
func OneServer() Topology {
	return Topology{Sites: []Site{{Name: "cloud", Public: true, Hosts: []string{"server"}}}}
}

// ServerAndEdges is OneServer with n NAT sites "site1".. that all use the same private
// subnet, each with one host "edge1"..
func ServerAndEdges(n int) Topology {
	t := OneServer()
	for i := 1; i <= n; i++ {
		t.Sites = append(t.Sites, Site{Name: fmt.Sprintf("site%d", i), Hosts: []string{fmt.Sprintf("edge%d", i)}})
	}
	return t
}

// ThreeSites is OneServer with three NAT sites. "site1" with "edge1" and "site2" with "edge2" and
// "edge2b" use the same private subnet, where edge1 and edge2 even have the same address: what
// edge2b finds at edge1's address is edge2. "site3" with "edge3" has another subnet.
func ThreeSites() Topology {
	t := OneServer()
	t.Sites = append(t.Sites,
		Site{Name: "site1", Hosts: []string{"edge1"}},
		Site{Name: "site2", Hosts: []string{"edge2", "edge2b"}},
		Site{Name: "site3", Hosts: []string{"edge3"}, Subnet: netip.MustParsePrefix("172.20.3.0/24")})
	return t
}

// plan is a topology with every address decided.
type plan struct {
	sites []sitePlan
}

type sitePlan struct {
	Site
	wan   netip.Addr   // gateway's address on the exchange
	lan   netip.Prefix // network behind the gateway
	gw    netip.Addr   // gateway's address in lan
	hosts []hostPlan
}

type hostPlan struct {
	name string
	addr netip.Prefix
}

var nameSyntax = regexp.MustCompile(`^[a-z][a-z0-9-]{0,7}$`)

// addresses checks t and decides every address. It is pure: the same topology always
// gets the same addresses.
func (t Topology) addresses() (plan, error) {
	var p plan
	var problems []error
	seen := map[string]bool{}
	claim := func(kind, name string) {
		if !nameSyntax.MatchString(name) {
			problems = append(problems, fmt.Errorf("%s %q: want 1 to 8 lower-case letters, digits and dashes", kind, name))
		}
		if seen[kind+name] {
			problems = append(problems, fmt.Errorf("%s %q is there twice", kind, name))
		}
		seen[kind+name] = true
	}
	if len(t.Sites) == 0 || len(t.Sites) > maxSites {
		problems = append(problems, fmt.Errorf("%d sites: want 1 to %d", len(t.Sites), maxSites))
	}
	public := 0
	for i, s := range t.Sites {
		claim("site", s.Name)
		sp := sitePlan{Site: s, wan: nth(exchange.Addr(), firstHost+i)}
		first := firstHost
		switch {
		case s.Public:
			sp.lan = netip.PrefixFrom(nth(publicBase, 16*public), 28)
			first = 2
			public++
		case s.Subnet.IsValid():
			sp.lan = s.Subnet.Masked()
		default:
			sp.lan = privateBlock
		}
		sp.gw = nth(sp.lan.Addr(), 1)
		for j, h := range s.Hosts {
			claim("host", h)
			addr := nth(sp.lan.Addr(), first+j)
			if !sp.lan.Contains(addr) {
				problems = append(problems, fmt.Errorf("site %q: no address in %s for host %q", s.Name, sp.lan, h))
			}
			sp.hosts = append(sp.hosts, hostPlan{name: h, addr: netip.PrefixFrom(addr, sp.lan.Bits())})
		}
		p.sites = append(p.sites, sp)
	}
	if public > maxPublicSites {
		problems = append(problems, fmt.Errorf("%d public sites: want at most %d", public, maxPublicSites))
	}
	return p, errors.Join(problems...)
}

// nth is the address n after base (IPv4).
func nth(base netip.Addr, n int) netip.Addr {
	b := base.As4()
	v := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	v += uint32(n)
	return netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
}
