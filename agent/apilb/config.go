package apilb

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/kedge-io/kedge/tunnel"
)

// Name is the component's name.
const Name = "api-endpoint"

// Address is where clients of a node find the API unless told otherwise.
const Address = "127.0.0.1:6444"

// servicePort is what the endpoint listens on at the service's address. It is
// not 443, which a program of the host may want on all addresses; the rules
// rewrite it, see ruleset.
const servicePort = 6444

const (
	// dialTimeout bounds one attempt at the only candidate, dialNext at one of
	// several.
	dialTimeout = 10 * time.Second
	dialNext    = 4 * time.Second
	// holdFor is how long a client waits for a server to come back. client-go
	// gives up a handshake after 10 s, and then backs off.
	holdFor = 8 * time.Second
	// Bounds of a probe: of the first one while nothing is good, and of all.
	proveFirst   = 3 * time.Second
	proveTimeout = 8 * time.Second
	// silence is for how long a server may leave data or keepalive probes
	// unanswered, as on the lanes of the link.
	silence = 15 * time.Second
	// readyWithin is how long the first look for a server may delay the rest of
	// the node.
	readyWithin = 2 * time.Second
	// MaxClients bounds the connections to the service's address at a time. One
	// costs about 40 KiB.
	MaxClients = 2048
	// MaxOwn bounds those to the node's own address, so that pods cannot keep
	// kubelet out. A node's own parts need about ten.
	MaxOwn = 512
	// maxLearned bounds the learned addresses; clusters have up to seven servers.
	maxLearned = 16
)

// Classes of the connections to servers: the node's own clients renew its lease,
// which no queue may delay. Pods are not to get in front of them.
const (
	classOwn  = tunnel.LaneControl
	classPods = tunnel.LaneInteractive
)

// Dialer reaches servers; see tunnel/pipe.
type Dialer interface {
	// DialContext connects to the cluster's server at addr.
	DialContext(ctx context.Context, network, addr string) (net.Conn, error)
	// Prove looks whether the cluster's server is at addr now.
	Prove(ctx context.Context, addr string) error
}

// Config says where to listen and where the API is.
type Config struct {
	// Listen is a loopback address with a port, usually [Address].
	Listen string
	// Service is the address of the service kubernetes, which pods use; the
	// zero value leaves that service to kube-proxy.
	Service netip.Addr
	// PodLink is the link that pods hang on: nobody else but the host reaches
	// Service. Empty lets everybody.
	PodLink string
	// Server is the host and port of the server, as the user gave it.
	Server string
	// Dialer makes the connections.
	Dialer Dialer
	// Learn, where set, calls known with all addresses of servers that the
	// cluster tells of whenever they change, until ctx ends. See [Watch].
	Learn func(ctx context.Context, known func([]netip.AddrPort)) error
	// File keeps the learned addresses that were proven; "" keeps none.
	File string
	// Report, where set, is told when no server can be reached, and with nil
	// when one can again.
	Report func(error)
}

func (c Config) validate() error {
	var errs []error
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		errs = append(errs, fmt.Errorf("the node's API endpoint: listen address: %w", err))
	}
	if _, _, err := net.SplitHostPort(c.Server); err != nil {
		errs = append(errs, fmt.Errorf("the node's API endpoint: server: %w", err))
	}
	if c.Dialer == nil {
		errs = append(errs, errors.New("the node's API endpoint lacks a dialer"))
	}
	if c.Service.IsValid() && !c.Service.Is4() {
		errs = append(errs, fmt.Errorf("the node's API endpoint: service address %s is not IPv4", c.Service))
	}
	return errors.Join(errs...)
}
