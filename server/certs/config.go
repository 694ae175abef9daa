package certs

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/kedge-io/kedge/internal/paths"
	"github.com/kedge-io/kedge/internal/pki"
	"github.com/kedge-io/kedge/internal/wire"
)

// Config says for whom certificates are made. It is not changed by this package.
type Config struct {
	Layout paths.Layout
	// NodeName is the host's node name and becomes a name of the server.
	NodeName string
	// ClusterDomain is the DNS domain of the cluster, "cluster.local".
	ClusterDomain string
	// ServiceIPs are the addresses of the service default/kubernetes: the
	// first of each service CIDR.
	ServiceIPs []netip.Addr
	// AdvertiseAddress is where other machines reach the server.
	AdvertiseAddress netip.Addr
	// NodeIPs are further addresses of the host.
	NodeIPs []netip.Addr
	// ExtraSANs are the values of --tls-san: addresses or DNS names.
	ExtraSANs []string
	// HTTPSPort is the port of the API on loopback.
	HTTPSPort int

	// AdminKubeconfig is where the administrator's kubeconfig is written, with
	// AdminMode. With an empty path there is only the copy in the data directory.
	AdminKubeconfig string
	AdminMode       fs.FileMode

	// Lifetime is how long leaves are valid, from [MinLifetime]; zero for
	// [DefaultLifetime].
	Lifetime time.Duration
	// Now is the clock of a [Keeper]; nil for the machine's.
	Now func() time.Time
}

const (
	// DefaultLifetime is how long certificates are valid where nobody says
	// otherwise.
	DefaultLifetime = pki.LeafLifetime
	// MinLifetime leaves a third of the life, 10 s, for a renewal over a thin link.
	MinLifetime = 30 * time.Second
	// MaxLifetime is half of an authority's: what outlives its authority is cut.
	MaxLifetime = pki.CALifetime / 2
)

// ValidateLifetime says why a lifetime cannot be.
func ValidateLifetime(d time.Duration) error {
	if d == 0 || (d >= MinLifetime && d <= MaxLifetime) {
		return nil
	}
	return fmt.Errorf("--certificate-lifetime %s is not between %s and %s: use for instance %s", d, MinLifetime, MaxLifetime, DefaultLifetime)
}

// DefaultAdminMode is the mode of the administrator's kubeconfig when Config
// gives none.
const DefaultAdminMode fs.FileMode = 0o600

// Validate says what is missing or wrong, all problems joined.
func (c Config) Validate() error {
	var errs []error
	if c.Layout.DataDir == "" {
		errs = append(errs, errors.New("certificates need a data directory: set --data-dir"))
	}
	if err := wire.CheckNodeName(c.NodeName); err != nil {
		errs = append(errs, err)
	}
	if c.ClusterDomain == "" {
		errs = append(errs, errors.New("certificates need a cluster domain: set --cluster-domain"))
	}
	if len(c.ServiceIPs) == 0 {
		errs = append(errs, errors.New("certificates need the address of the service default/kubernetes: set --service-cidr"))
	}
	if c.HTTPSPort < 1 || c.HTTPSPort > 65535 {
		errs = append(errs, fmt.Errorf("port %d is not between 1 and 65535: set --https-listen-port", c.HTTPSPort))
	}
	errs = append(errs, ValidateLifetime(c.Lifetime))
	for _, san := range c.ExtraSANs {
		if _, err := netip.ParseAddr(san); err != nil && !validDNS(san) {
			errs = append(errs, fmt.Errorf("--tls-san %q is neither an address nor a DNS name", san))
		}
	}
	return errors.Join(errs...)
}

// loopbackURL is the API for the parts of this process.
func (c Config) loopbackURL() string {
	return "https://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(c.HTTPSPort))
}

// servingNames returns the DNS names and addresses of the server. The
// advertised address comes first: other code shows it to people.
func (c Config) servingNames() ([]string, []netip.Addr) {
	names := []string{
		wire.ServerIdentity, "localhost", c.NodeName,
		"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + c.ClusterDomain,
	}
	var ips []netip.Addr
	addIP := func(ip netip.Addr) {
		ip = ip.Unmap().WithZone("")
		if ip.IsValid() && !ip.IsUnspecified() && !slices.Contains(ips, ip) {
			ips = append(ips, ip)
		}
	}
	addIP(c.AdvertiseAddress)
	for _, san := range c.ExtraSANs {
		if ip, err := netip.ParseAddr(san); err == nil {
			addIP(ip)
		} else if !slices.Contains(names, san) {
			names = append(names, san)
		}
	}
	for _, ip := range slices.Concat(c.NodeIPs, c.ServiceIPs) {
		addIP(ip)
	}
	addIP(netip.AddrFrom4([4]byte{127, 0, 0, 1}))
	addIP(netip.IPv6Loopback())
	return names, ips
}
