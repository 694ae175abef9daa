package kube

import (
	"context"
	"net"
	"net/http"
	"net/netip"

	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/informers"

	"github.com/kedge-io/kedge/internal/lifecycle"
	"github.com/kedge-io/kedge/server/certs"
)

// The names of the components that this package provides.
const (
	APIServer         = "kube-apiserver"
	ControllerManager = "kube-controller-manager"
	Scheduler         = "kube-scheduler"
)

// Config says how the control plane is to run. It is not changed after
// [Components] has been called.
type Config struct {
	// Listener accepts the connections of everyone: clients, nodes and the
	// control plane itself. The API server closes it.
	Listener net.Listener
	// Certs are the files of the cluster's authorities and identities.
	Certs certs.Paths
	// Datastore are the etcd endpoints, for instance unix:///run/kedge/kine.sock.
	Datastore []string
	// DatastoreOverrides send some resources elsewhere, each in the form of
	// upstream's --etcd-servers-overrides.
	DatastoreOverrides []string
	// DatastoreTLS names the files for a connection to Datastore; empty when
	// it needs none.
	DatastoreTLS DatastoreTLS
	// AdvertiseAddress is where the kubernetes service leads.
	AdvertiseAddress netip.Addr
	ClusterCIDR      netip.Prefix
	ServiceCIDR      netip.Prefix
	ClusterDomain    string
	// Front wraps the API server's handler before authentication: kedge's own
	// paths are answered there.
	Front func(api http.Handler) http.Handler
	// Dial makes the API server's connections into the cluster.
	Dial Dial
	// Informers, where set, is called with the API server's own informers
	// before they start.
	Informers func(informers.SharedInformerFactory) error
	// APIs, where set, may install more API groups into the API server. They
	// are authenticated and authorized as all others. A group is served once
	// there is an APIService for it that names no service.
	APIs func(*genericapiserver.GenericAPIServer) error

	// SchedulerFile is where the scheduler's configuration is written to, which
	// upstream's set-up takes from a file only. A person's --config goes before.
	SchedulerFile string

	// ControllersBuilt is called once when every controller has been built and
	// before any runs.
	ControllersBuilt func()

	// Settings of a person, "name=value", passed to upstream's flags.
	APIServerArgs         []string
	ControllerManagerArgs []string
	SchedulerArgs         []string
}

// Dial are the API server's diallers. None of them is used for the datastore.
type Dial struct {
	// Kubelet connects to a kubelet; the host in addr is a node's name.
	Kubelet DialFunc
	// Cluster connects to pods and endpoints of services: the proxy
	// subresources, webhooks and APIs that are services.
	Cluster DialFunc
	// ControlPlane connects to the URLs of webhooks.
	ControlPlane DialFunc
}

// DialFunc makes one connection.
type DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

// Components returns the control plane. needs names what must be ready before
// the API server starts: the datastore.
func Components(cfg Config, needs ...string) []lifecycle.Component {
	return []lifecycle.Component{
		newAPIServer(cfg, needs),
		newControllerManager(cfg),
		newScheduler(cfg),
		newRootCA(cfg),
	}
}

// DatastoreTLS names the authority and the client certificate of an external
// datastore.
type DatastoreTLS struct {
	CA   string
	Pair certs.Pair
}
