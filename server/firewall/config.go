package firewall

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"k8s.io/client-go/rest"

	"github.com/kedge-io/kedge/edgefw/model"
)

// Name is the component's name.
const Name = "edge-firewalls"

// Names by which parts are left out with --disable.
const (
	DisableFirewall = "firewall"
	DisablePolicies = "network-policy"
)

// Defaults of [Config].
const (
	DefaultPause  = 2 * time.Second
	DefaultSettle = 2 * time.Second
)

// joinPatience bounds how long a join waits for the other nodes to know the new
// address. What is late comes a moment after the answer.
const joinPatience = 2 * time.Second

// Config is what the server's firewall needs to know.
type Config struct {
	// Client gives the configuration of a client with the supervisor's rights. It
	// is called once the components that this one needs are ready.
	Client func() (*rest.Config, error)
	// OwnNode is the server's own node, empty when it has none; Own are the
	// addresses that others reach it at.
	OwnNode string
	Own     []netip.Addr
	// Servers are addresses of the servers beside those of their nodes.
	Servers []netip.Addr
	// Port is that of the server's listener, Advertised its address.
	Port       uint16
	Advertised netip.Addr
	// Pods and Services are the cluster's ranges, ClusterDNS and API the addresses
	// of two services, APIPorts the ports of the latter.
	Pods, Services  []netip.Prefix
	ClusterDNS, API netip.Addr
	APIPorts        []uint16
	// Policies tells that network policies are enforced.
	Policies bool
	// Links returns the addresses that a node's link comes from now.
	Links func(node string) []netip.Addr
	// Connected are the nodes that have a link now.
	Connected func() []string
	// Dial opens the stream of the firewall to a node that has a link.
	Dial func(ctx context.Context, node string) (net.Conn, error)
	// Ask asks nodes; nil where they cannot be asked.
	Ask Ask
	// Identify returns the node whose certificate came with a request.
	Identify func(r *http.Request) (string, error)
	// Lists is the folder for copies of lists of addresses.
	Lists string
	// Settled, where set, is told of each node that has joined, registered and is
	// connected.
	Settled func(ctx context.Context, node string) error
	// Sets are the address sets by name; nil for those of the API. Balanced are the
	// services of type LoadBalancer; nil for none. What they return is not changed
	// afterwards.
	Sets     func() map[string]model.AddressSet
	Balanced func() []model.Balanced
	// UserAgent is as what lists are fetched, Proxy the way there, as in
	// [http.Transport]; nil for a direct one.
	UserAgent string
	Proxy     func(*http.Request) (*url.URL, error)
	// Feeds are run beside, and known before anything is compiled.
	Feeds []Feed
	// Pause is the time between two writes of one firewall's status, Settle how
	// long a new address must last before it is written to the node; 0 means the
	// defaults.
	Pause, Settle time.Duration
	// Now is the clock; nil for the machine's.
	Now func() time.Time
	// Report tells the group about trouble, and with nil that it is over.
	Report func(error)
}

// Feed is something that rules are made of and that follows the API by itself.
type Feed interface {
	Run(ctx context.Context) error
	// Synced is closed once all of it is known.
	Synced() <-chan struct{}
}

// withDefaults fills in what may be left out.
func (c Config) withDefaults() Config {
	if c.Pause == 0 {
		c.Pause = DefaultPause
	}
	if c.Settle == 0 {
		c.Settle = DefaultSettle
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Report == nil {
		c.Report = func(error) {}
	}
	if c.Balanced == nil {
		c.Balanced = func() []model.Balanced { return nil }
	}
	if c.Links == nil {
		c.Links = func(string) []netip.Addr { return nil }
	}
	if c.Connected == nil {
		c.Connected = func() []string { return nil }
	}
	return c
}

// errNoLocal says that the server's own node does not take rules yet.
var errNoLocal = errors.New("the server's own node does not take rules yet")
