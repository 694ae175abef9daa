package balancer

import (
	"net/netip"
	"time"

	"k8s.io/client-go/rest"
)

// Name is the component's name, and the word for --disable.
const Name = "load-balancer"

const (
	// Class is that of services which are for this package only; services without
	// a class are, too.
	Class = "kedge.io/node"
	// Label is on nodes that offer services. If no node has it, all do.
	Label = "kedge.io/loadbalancer"
	// excludeLabel is upstream's, on nodes that offer none.
	excludeLabel = "node.kubernetes.io/exclude-from-external-load-balancers"
	// AnnotationAddresses on a service says which addresses of nodes it gets:
	// [AddressesAll] or [AddressesPublic].
	AnnotationAddresses = "kedge.io/loadbalancer-addresses"
	// AddressesAll are also those that a node has within its site.
	AddressesAll = "all"
	// AddressesPublic are those by which the servers see the node.
	AddressesPublic = "public"
)

// MaxNodes is how many nodes offer one service at most. Every node learns all
// addresses of all services, and again when one changes: the status of a service
// with more of them would be a load for thin links.
const MaxNodes = 256

// Config is what the balancer needs to know.
type Config struct {
	// Client gives the configuration of a client that may read nodes, services and
	// endpoint slices, write the status of services and make events.
	Client func() (*rest.Config, error)
	// OwnNode is the server's own node, empty when it has none; Own are the
	// addresses that others reach it at.
	OwnNode string
	Own     []netip.Addr
	// Reserved are ports that no service may have, each with what it is for: a
	// service on the port of the servers would cut off every node.
	Reserved map[uint16]string
	// Cluster are the ranges of pods and services: what a node says of addresses in
	// there is not believed, as kube-proxy on every node would follow it.
	Cluster []netip.Prefix
	// Changed is called after what [Balancer.Balanced] returns became different; it
	// must not block. May be nil.
	Changed func()
	// Pause is the time between two writes of one service's status; 0 means
	// DefaultPause.
	Pause time.Duration
}

// DefaultPause is the time between two writes of one service's status.
const DefaultPause = 2 * time.Second
