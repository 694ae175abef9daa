package egress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/kedge-io/kedge/tunnel"
)

// connectTimeout bounds a direct connection, as upstream's default transport does.
const connectTimeout = 30 * time.Second

// DialFunc makes one connection.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// Config of the API server's egress.
type Config struct {
	// ClusterCIDR is the pod range of the whole cluster.
	ClusterCIDR netip.Prefix
	// Own are the server's own addresses. They are always dialled directly.
	Own []netip.Addr
	// LocalNode is the server's own node; empty if it has none.
	LocalNode tunnel.NodeName
	// DialNode connects to an address as seen from a node; it dials LocalNode
	// directly.
	DialNode func(ctx context.Context, node tunnel.NodeName, network, address string) (net.Conn, error)
	// Direct connects from the server; nil means a net.Dialer.
	Direct DialFunc
}

// Egress dials for the API server. Its methods may be called from any
// goroutine.
type Egress struct {
	cfg    Config
	table  *Table
	synced func() bool
}

// New returns an egress that waits with addresses of the cluster until
// [Egress.Watch] has seen all nodes.
func New(cfg Config) *Egress {
	return &Egress{
		cfg: cfg, table: NewTable(cfg.ClusterCIDR, cfg.Own, cfg.LocalNode),
		synced: func() bool { return false },
	}
}

// Cluster connects to an address that an object of the cluster names: an
// endpoint of a service or a pod. The server's loopback and link-local
// addresses are refused, because nodes have a say in such objects.
func (e *Egress) Cluster(ctx context.Context, network, address string) (net.Conn, error) {
	return e.dial(ctx, network, address, e.clusterDirect)
}

// ControlPlane connects to an address that the administrator wrote down, for
// instance the URL of a webhook.
func (e *Egress) ControlPlane(ctx context.Context, network, address string) (net.Conn, error) {
	return e.dial(ctx, network, address, e.direct(nil))
}

func (e *Egress) dial(ctx context.Context, network, address string, direct DialFunc) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("dial %q: %w", address, err)
	}
	addr, err := netip.ParseAddr(host)
	if err != nil { // a name, which the server's resolver knows
		return direct(ctx, network, address)
	}
	if err := e.wait(ctx); err != nil {
		return nil, fmt.Errorf("dial %s: %w", address, err)
	}
	node, err := e.table.Find(addr)
	switch {
	case err != nil:
		return nil, fmt.Errorf("dial %s: %w", address, err)
	case node == "":
		return direct(ctx, network, address)
	}
	return e.cfg.DialNode(ctx, node, network, address)
}

// errNotProxied is why a connection was not made.
var errNotProxied = errors.New("objects of the cluster must not lead to the server's loopback or link-local addresses")

// clusterDirect looks at the address that is really dialled, also when a name
// was given.
func (e *Egress) clusterDirect(ctx context.Context, network, address string) (net.Conn, error) {
	return e.direct(func(_, address string, _ syscall.RawConn) error {
		ap, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		if !ap.Addr().Unmap().IsGlobalUnicast() {
			return errNotProxied
		}
		return nil
	})(ctx, network, address)
}

// direct is a dialler that asks control before each connection.
func (e *Egress) direct(control func(network, address string, _ syscall.RawConn) error) DialFunc {
	if e.cfg.Direct == nil {
		return (&net.Dialer{Timeout: connectTimeout, Control: control}).DialContext
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if control != nil {
			if err := control(network, address, nil); err != nil {
				return nil, err
			}
		}
		return e.cfg.Direct(ctx, network, address)
	}
}
