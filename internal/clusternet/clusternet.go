package clusternet

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
)

// NodeMaskBits is the prefix length of one node's part of the pod range.
const NodeMaskBits = 24

// Plan is the address plan. The words in errors are those of the options
// --cluster-cidr, --service-cidr, --cluster-dns and --cluster-domain.
type Plan struct {
	// Pods is split into one /24 per node.
	Pods netip.Prefix
	// Services holds the virtual addresses of services.
	Services netip.Prefix
	// DNS is the address of cluster DNS, inside Services.
	DNS netip.Addr
	// Domain is the DNS suffix of the cluster, without a dot at its ends.
	Domain string
}

// Default returns the plan that people know from k3s.
func Default() Plan {
	return Plan{
		Pods:     netip.MustParsePrefix("10.42.0.0/16"),
		Services: netip.MustParsePrefix("10.43.0.0/16"),
		DNS:      netip.MustParseAddr("10.43.0.10"),
		Domain:   "cluster.local",
	}
}

var domainName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$`)

// Validate reports all problems of the plan, joined. host holds this host's
// own addresses, which must lie outside of both ranges.
func (p Plan) Validate(host []netip.Addr) error {
	var errs []error
	errs = append(errs, checkRange("--cluster-cidr", p.Pods, NodeMaskBits), checkRange("--service-cidr", p.Services, 28))
	if p.Pods.IsValid() && p.Services.IsValid() && p.Pods.Overlaps(p.Services) {
		errs = append(errs, fmt.Errorf("--cluster-cidr %s and --service-cidr %s overlap: give each a range of its own, for instance 10.42.0.0/16 and 10.43.0.0/16", p.Pods, p.Services))
	}
	for _, a := range host {
		for option, r := range map[string]netip.Prefix{"--cluster-cidr": p.Pods, "--service-cidr": p.Services} {
			if r.IsValid() && r.Contains(a) {
				errs = append(errs, fmt.Errorf("%s %s contains %s, an address of this host: choose a range that nothing on the host's networks uses", option, r, a))
			}
		}
	}
	if p.Services.IsValid() && !p.Services.Contains(p.DNS) {
		errs = append(errs, fmt.Errorf("--cluster-dns %s lies outside of --service-cidr %s: use for instance %s", p.DNS, p.Services, Nth(p.Services, 10)))
	}
	if p.Services.IsValid() && p.DNS == p.APIService() {
		errs = append(errs, fmt.Errorf("--cluster-dns %s is the address of the kubernetes service: use for instance %s", p.DNS, Nth(p.Services, 10)))
	}
	if !domainName.MatchString(p.Domain) {
		errs = append(errs, fmt.Errorf("--cluster-domain %q is not a DNS name: use for instance cluster.local", p.Domain))
	}
	return errors.Join(errs...)
}

func checkRange(option string, r netip.Prefix, longest int) error {
	switch {
	case !r.IsValid():
		return fmt.Errorf("%s is not a range: use a form such as 10.42.0.0/16", option)
	case !r.Addr().Is4():
		return fmt.Errorf("%s %s is not IPv4, the only family of pods and services so far", option, r)
	case r.Bits() > longest:
		return fmt.Errorf("%s %s is too small: its prefix length may be %d at most", option, r, longest)
	case r.Bits() < 8:
		return fmt.Errorf("%s %s is too large: its prefix length must be 8 at least", option, r)
	case r.Masked() != r:
		return fmt.Errorf("%s %s has bits set behind its prefix: write %s", option, r, r.Masked())
	}
	return nil
}

// APIService is the address of the kubernetes service: the first of the range
// of services, as upstream has it.
func (p Plan) APIService() netip.Addr { return Nth(p.Services, 1) }

// Nth returns the address n places behind the first of r. It does not check
// that it still lies inside.
func Nth(r netip.Prefix, n int) netip.Addr {
	a := r.Masked().Addr()
	for range n {
		a = a.Next()
	}
	return a
}
