package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kedge-io/kedge/internal/kubeclient"
	"github.com/kedge-io/kedge/internal/lifecycle"
	"github.com/kedge-io/kedge/internal/version"
	"github.com/kedge-io/kedge/internal/wire"
	"github.com/kedge-io/kedge/server/addons"
	"github.com/kedge-io/kedge/server/balancer"
	"github.com/kedge-io/kedge/server/bandwidth"
	"github.com/kedge-io/kedge/server/certs"
	"github.com/kedge-io/kedge/server/datastore"
	"github.com/kedge-io/kedge/server/datastore/snapshot"
	"github.com/kedge-io/kedge/server/egress"
	"github.com/kedge-io/kedge/server/firewall"
	"github.com/kedge-io/kedge/server/join"
	"github.com/kedge-io/kedge/server/kube"
	"github.com/kedge-io/kedge/server/links"
	"github.com/kedge-io/kedge/server/metrics"
	"github.com/kedge-io/kedge/server/nodes"
	"github.com/kedge-io/kedge/server/rotation"
	"github.com/kedge-io/kedge/tunnel"
	"github.com/kedge-io/kedge/tunnel/hub"
	"github.com/kedge-io/kedge/tunnel/pipe"
	"github.com/kedge-io/kedge/tunnel/relay"
)

// Report tells the group about trouble of a component that runs, and with nil
// that it is over.
type Report func(component string, err error)

// Server is a control plane that has its files and its port and does not run
// yet.
type Server struct {
	cfg       Config
	log       *slog.Logger
	listener  *pipe.Listener
	paths     certs.Paths
	keeper    *certs.Keeper
	rotation  *rotation.Rotation
	renewOwn  atomic.Pointer[http.Handler] // renews the certificates of the server's own node
	store     *datastore.Store
	snapshots *snapshot.Manager
	join      *join.Server
	hub       *hub.Hub
	links     *links.Links
	relay     *relay.Switch
	local     *relay.Local // nil if the server runs no node
	egress    *egress.Egress
	metrics   *metrics.Server // nil if disabled
	addons    *addons.Manifests
	balancer  *balancer.Balancer      // nil if disabled
	firewall  *firewall.Firewall      // nil if disabled
	nodes     map[string]http.Handler // what nodes are asked about their firewall, by path
	built     chan struct{}           // closed once the controllers are built
}

// New checks cfg, takes the port, makes or checks the certificates and builds
// the parts. Nothing runs afterwards; [Server.Close] gives the port back when
// the components are never run.
func New(cfg Config, log *slog.Logger, report Report) (*Server, error) {
	s := &Server{cfg: cfg, log: log, paths: certs.NewPaths(cfg.Layout), built: make(chan struct{})}
	var err error
	if s.store, err = datastore.New(s.datastoreConfig(report)); err != nil {
		return nil, err
	}
	tcp, err := listen(cfg.BindAddress, cfg.Port)
	if err != nil {
		return nil, err
	}
	s.listener = pipe.Listen(tcp, log)
	if err := s.build(report); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Server) build(report Report) error {
	s.keeper = certs.NewKeeper(s.certsConfig(), s.log.With("component", certs.ComponentName), func(err error) { report(certs.ComponentName, err) })
	if err := s.keeper.Ensure(); err != nil {
		return err
	}
	s.join = join.New(join.Config{
		Authorities: s.keeper.Authorities, Grace: s.cfg.CertificateGrace, Now: s.cfg.Now,
		BarredFile: filepath.Join(s.cfg.Layout.ServerCred(), "barred.json"), Kubeconfig: s.paths.SupervisorKubeconfig,
		Cluster: s.cluster(), LocalNode: s.localNode(), UserAgent: "kedge/" + s.cfg.Version,
		Cut:     func(node string, why error) { s.hub.Disconnect(tunnel.NodeName(node), why) },
		Vacated: s.vacated, Joining: s.joining, Joined: s.joined,
	}, s.log.With("component", join.ComponentName))
	s.buildRotation()
	s.buildRelay()
	s.buildBalancer()
	s.buildFirewall(report)
	if err := s.buildSnapshots(report); err != nil {
		return err
	}
	if err := s.buildHub(); err != nil {
		return err
	}
	s.egress = egress.New(egress.Config{
		ClusterCIDR: s.cfg.Net.Pods, Own: append([]netip.Addr{s.cfg.AdvertiseAddress}, s.cfg.NodeIPs...),
		LocalNode: tunnel.NodeName(s.localNode()), DialNode: s.hub.DialNode,
	})
	if err := s.buildMetrics(report); err != nil {
		return err
	}
	var err error
	s.addons, err = addons.New(addons.Config{
		Dir: s.cfg.Layout.Manifests(), Disable: s.cfg.Disable, ClusterDNS: s.cfg.Net.DNS,
		Client: func() (*rest.Config, error) {
			return kubeclient.FromFile(s.paths.SupervisorKubeconfig, "kedge/"+s.cfg.Version)
		},
		Report: func(err error) { report(addons.Name, err) },
		Log:    s.log.With("component", addons.Name),
	})
	return err
}

// Close gives back the port of a server whose components were never run.
func (s *Server) Close() { _ = s.listener.Close() }

// Issue certifies the server's own node without a token.
func (s *Server) Issue(ctx context.Context, request wire.JoinRequest) (*wire.JoinResponse, error) {
	return s.join.IssueLocal(ctx, request)
}

// ControllersBuilt is closed once the controllers have set up what they share
// with kubelet when both run in one process: the CSI volume plugin keeps its
// node's name in a package variable, and the last one to initialise it wins.
func (s *Server) ControllersBuilt() <-chan struct{} { return s.built }

// CA is the file with the authority that nodes trust.
func (s *Server) CA() string { return s.paths.ServerCA.Cert }

// Components returns the parts of the control plane.
func (s *Server) Components() []lifecycle.Component {
	ca, cert, key := s.store.TLS()
	comps := []lifecycle.Component{
		s.keeper.Component(),
		s.store.Component(),
		s.hubComponent(),
		s.relayComponent(kube.APIServer),
	}
	comps = append(comps, kube.Components(kube.Config{
		Listener:              s.join.Track(s.listener),
		Certs:                 s.paths,
		Datastore:             s.store.Endpoints(),
		DatastoreOverrides:    s.store.Overrides(),
		DatastoreTLS:          kube.DatastoreTLS{CA: ca, Pair: certs.Pair{Cert: cert, Key: key}},
		AdvertiseAddress:      s.cfg.AdvertiseAddress,
		ClusterCIDR:           s.cfg.Net.Pods,
		ServiceCIDR:           s.cfg.Net.Services,
		ClusterDomain:         s.cfg.Net.Domain,
		Front:                 s.front,
		Dial:                  kube.Dial{Kubelet: s.hub.DialKubelet, Cluster: s.egress.Cluster, ControlPlane: s.egress.ControlPlane},
		Informers:             s.watch,
		APIs:                  s.installAPIs,
		SchedulerFile:         filepath.Join(s.cfg.Layout.RunDir, "scheduler.yaml"),
		ControllersBuilt:      func() { close(s.built) },
		APIServerArgs:         s.cfg.APIServerArgs,
		ControllerManagerArgs: s.cfg.ControllerManagerArgs,
		SchedulerArgs:         s.cfg.SchedulerArgs,
	}, certs.ComponentName, datastore.Name)...)
	if s.metrics != nil {
		comps = append(comps, s.metrics.Component(kube.APIServer))
	}
	comps = append(comps, s.rotation.Component(kube.APIServer))
	comps = append(comps, s.join.Component(kube.APIServer, addons.Name), s.addons.Component(kube.APIServer), s.links.Component(kube.APIServer))
	if !slices.Contains(s.cfg.Disable, "bandwidth") {
		comps = append(comps, bandwidth.New(bandwidth.Config{Client: s.supervisorConfig}, s.log, kube.APIServer, addons.Name))
	}
	comps = append(comps, s.balancerComponents()...)
	comps = append(comps, s.firewallComponents()...)
	comps = append(comps, s.snapshotComponents()...)
	return append(comps, nodes.New(nodes.Config{OwnNode: s.localNode(), Client: s.supervisorClient, Deleted: s.forget}, s.log, kube.APIServer))
}

func (s *Server) supervisorClient() (kubernetes.Interface, error) {
	config, err := s.supervisorConfig()
	if err != nil {
		return nil, err
	}
	return kubernetes.NewForConfig(config)
}

func (s *Server) supervisorConfig() (*rest.Config, error) {
	return kubeclient.FromFile(s.paths.SupervisorKubeconfig, "kedge/"+s.cfg.Version)
}

// front answers the supervisor's paths and hands the rest to the API.
func (s *Server) front(api http.Handler) http.Handler {
	handlers := s.installFiles().Handlers()
	handlers[wire.PathConnect], handlers[wire.PathPipe] = s.hub.Handler(), s.listener.Handler()
	handlers["GET "+wire.PathRestores] = http.HandlerFunc(s.restores)
	supervisor := s.join.Handler(handlers)
	api = s.gated(s.join.RefuseBarred(api))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if join.Owns(r.URL.Path) {
			supervisor.ServeHTTP(w, r)
			return
		}
		api.ServeHTTP(w, r)
	})
}

func (s *Server) localNode() string {
	if s.cfg.RunsNode {
		return s.cfg.NodeName
	}
	return ""
}

func (s *Server) cluster() wire.ClusterConfig {
	return wire.ClusterConfig{
		ClusterCIDRs:      []netip.Prefix{s.cfg.Net.Pods},
		ServiceCIDRs:      []netip.Prefix{s.cfg.Net.Services},
		ClusterDNS:        []netip.Addr{s.cfg.Net.DNS},
		ClusterDomain:     s.cfg.Net.Domain,
		KubernetesVersion: version.Kubernetes(),
	}
}

func (s *Server) certsConfig() certs.Config {
	return certs.Config{
		Layout: s.cfg.Layout, NodeName: s.cfg.NodeName, ClusterDomain: s.cfg.Net.Domain,
		ServiceIPs: []netip.Addr{s.cfg.Net.APIService()}, AdvertiseAddress: s.cfg.AdvertiseAddress,
		NodeIPs: s.cfg.NodeIPs, ExtraSANs: s.cfg.TLSSANs, HTTPSPort: s.cfg.Port,
		AdminKubeconfig: s.cfg.Kubeconfig, AdminMode: s.cfg.KubeconfigMode,
		Lifetime: s.cfg.CertificateLifetime, Now: s.cfg.Now,
	}
}

func (s *Server) datastoreConfig(report Report) datastore.Config {
	d := s.cfg.Datastore
	return datastore.Config{
		Path: s.cfg.Layout.Database(), BegunPath: s.cfg.Layout.DatabaseBegun(), SocketDir: s.cfg.Layout.RunDir,
		VolatileDir: datastore.VolatileDir(s.cfg.Layout.RunDir),
		Endpoint:    d.Endpoint, CAFile: d.CAFile, CertFile: d.CertFile, KeyFile: d.KeyFile,
		Offer:  Offer(s.cfg.Layout, s.cfg.Snapshots.Dir),
		Report: func(err error) { report(datastore.Name, err) },
		Log:    s.log.With("component", datastore.Name),
	}
}

func listen(addr netip.Addr, port int) (net.Listener, error) {
	hostport := net.JoinHostPort(addr.String(), strconv.Itoa(port))
	l, err := net.Listen("tcp", hostport)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("port %d is taken by another program (see it with: ss -ltnp 'sport = :%d'): stop that one or choose another --https-listen-port", port, port)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("--bind-address %s is not an address of this host", addr)
	case err != nil:
		return nil, fmt.Errorf("listen on %s: %w", hostport, err)
	}
	return l, nil
}
