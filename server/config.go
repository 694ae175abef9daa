package server

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/kedge-io/kedge/internal/clusternet"
	"github.com/kedge-io/kedge/internal/paths"
	"github.com/kedge-io/kedge/server/certs"
	"github.com/kedge-io/kedge/server/metrics"
)

// DefaultPort is the one port of a server.
const DefaultPort = 6443

// Config says what a server is to be. It is not changed after [New].
type Config struct {
	Layout paths.Layout
	// BindAddress is where to listen; the unspecified address for everywhere.
	BindAddress netip.Addr
	// Port is the TCP port of everything.
	Port int
	// Program is the file that this server was installed as; machines that become
	// nodes get it.
	Program string
	// AdvertiseAddress is where the kubernetes service leads.
	AdvertiseAddress netip.Addr
	// NodeName names this machine, whether it runs a node or not.
	NodeName string
	// NodeIPs are the machine's own addresses.
	NodeIPs []netip.Addr
	// RunsNode tells that the machine is also a node of the cluster.
	RunsNode bool
	// TLSSANs are further names and addresses of the server's certificate.
	TLSSANs []string
	Net     clusternet.Plan
	// Kubeconfig is where the administrator's kubeconfig is written, with
	// KubeconfigMode.
	Kubeconfig     string
	KubeconfigMode fs.FileMode
	Datastore      Datastore
	Snapshots      Snapshots
	// Disable names packaged manifests to leave out.
	Disable []string
	// MetricsResolution is the time between two figures of a node's resource
	// use.
	MetricsResolution time.Duration

	APIServerArgs         []string
	ControllerManagerArgs []string
	SchedulerArgs         []string

	// Proxy is the way to lists of addresses, as in [http.Transport]; nil for a
	// direct one.
	Proxy func(*http.Request) (*url.URL, error)

	// CertificateLifetime is how long certificates of the server and of nodes are
	// valid; zero for [certs.DefaultLifetime].
	CertificateLifetime time.Duration

	// Version is kedge's.
	Version string
	// CertificateGrace is for how long after the end of its certificate a node
	// renews it without a token; zero for never.
	CertificateGrace time.Duration
	// Now is the clock for everything about certificates; nil for the machine's.
	Now func() time.Time
}

// Datastore names an external datastore; its zero value means SQLite.
type Datastore struct{ Endpoint, CAFile, CertFile, KeyFile string }

// Validate reports all problems that can be told without touching the host,
// joined. host holds the machine's own addresses.
func (c Config) Validate(host []netip.Addr) error {
	errs := []error{c.Net.Validate(host), c.Snapshots.Validate()}
	if c.Port < 1 || c.Port > 65535 {
		errs = append(errs, fmt.Errorf("--https-listen-port %d is not between 1 and 65535: use for instance %d", c.Port, DefaultPort))
	}
	if !c.AdvertiseAddress.IsValid() || c.AdvertiseAddress.IsUnspecified() || c.AdvertiseAddress.IsLoopback() {
		errs = append(errs, fmt.Errorf("--advertise-address %s cannot be reached from other machines: give one of this host's addresses", c.AdvertiseAddress))
	}
	if c.KubeconfigMode&^0o777 != 0 {
		errs = append(errs, fmt.Errorf("--write-kubeconfig-mode %o is not a file mode: use for instance 0600", c.KubeconfigMode))
	}
	errs = append(errs, certs.ValidateLifetime(c.CertificateLifetime))
	errs = append(errs, metrics.ValidateResolution(c.MetricsResolution))
	return errors.Join(errs...)
}
