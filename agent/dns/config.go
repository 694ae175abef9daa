package dns

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	miekg "github.com/miekg/dns"
)

// Config is what the DNS server needs to know before it starts.
type Config struct {
	// Address is the cluster DNS address, an IPv4 address of the service range.
	Address netip.Addr
	// PodLink is the link that pods hang on: nobody else but the host may ask.
	// Empty lets everybody ask.
	PodLink string
	// Domain is the cluster domain, such as cluster.local.
	Domain string
	// Kubeconfig is the file with which services are watched; it may appear as
	// late as when the component runs.
	Kubeconfig string
	// ResolvConf is the file with the host's resolvers; /etc/resolv.conf where
	// empty. It is read again when it changes.
	ResolvConf string
}

// Validate reports every problem of the configuration at once.
func (c Config) Validate() error {
	var errs []error
	if !c.Address.Is4() || c.Address.IsUnspecified() {
		errs = append(errs, fmt.Errorf("cluster-dns %q: give one IPv4 address of service-cidr, such as 10.43.0.10", c.Address))
	}
	// Spaces and braces would end a word of the plugin's configuration.
	if _, ok := miekg.IsDomainName(c.Domain); !ok || c.Domain == "" || strings.ContainsAny(c.Domain, " \t\n\"{}#\\") {
		errs = append(errs, fmt.Errorf("cluster-domain %q: give a domain name, such as cluster.local", c.Domain))
	}
	if c.Kubeconfig == "" {
		errs = append(errs, errors.New("cluster DNS: no kubeconfig"))
	}
	return errors.Join(errs...)
}

func (c Config) endpoint() netip.AddrPort { return netip.AddrPortFrom(c.Address, 53) }
