package join

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/kedge-io/kedge/internal/kubeclient"
	"github.com/kedge-io/kedge/internal/pki"
	"github.com/kedge-io/kedge/internal/quiet"
	"github.com/kedge-io/kedge/internal/wire"
	"github.com/kedge-io/kedge/server/certs"
)

// maxConcurrent is how many joins, renewals and answers of the time are worked on
// at a time; more are told to come again. It bounds what strangers can make this
// server and the API do.
const maxConcurrent = 64

// DefaultGrace is how long a machine may be off beyond the end of its certificate:
// a season.
const DefaultGrace = 90 * 24 * time.Hour

// Config is what a [Server] is made from. It is not changed.
type Config struct {
	// Authorities returns who signs and who is trusted now.
	Authorities func() (*certs.Authorities, error)
	// Grace is for how long after its end a certificate still lets the machine
	// with the device key renew; zero for never.
	Grace time.Duration
	// BarredFile keeps which machines are refused, for the moments between a start
	// and the first answer of the API; empty for none.
	BarredFile string
	// Kubeconfig is the supervisor's, for Client.
	Kubeconfig string
	// Cluster is told to every node that joins.
	Cluster wire.ClusterConfig
	// LocalNode is the name of the server's own node; empty when it has none.
	LocalNode string
	// Client gives a client for the API with the supervisor's rights. When nil,
	// one is made from the supervisor's kubeconfig.
	Client func() (kubernetes.Interface, error)
	// Cut, where set, is told each name whose machine is refused from now on, and
	// why, so that its link can be ended. Names of before come at the start.
	Cut func(node string, why error)
	// Vacated, where set, is told each name that no machine holds any more, so that
	// what is known of the former one can be forgotten. A name may come again.
	Vacated func(node string)
	// Joining, where set, is told the name of each machine that has proven its
	// right to it and the address that it comes from. The machine has its answer
	// when it returns.
	Joining func(ctx context.Context, node string, addr netip.Addr)
	// Joined, where set, is told at the start who has joined and not settled (see
	// [Server.Settled]), from where and when.
	Joined func(node string, addr netip.Addr, at time.Time)
	// UserAgent is what that client calls itself.
	UserAgent string
	// Now is the clock; nil for the machine's.
	Now func() time.Time
}

// Server answers nodes that join and renew. It is safe for concurrent use.
type Server struct {
	config Config
	log    *slog.Logger
	slots  chan struct{}
	// working holds the devices ([wire.Pin]) whose request has passed its first checks.
	working sync.Map
	quiet   *quiet.Log

	mu     sync.Mutex
	client kubernetes.Interface

	barred atomic.Pointer[barred]
	// collecting is held while barred is made anew of the claims.
	collecting sync.Mutex
	conns      conns
	pending    atomic.Pointer[wire.Pin]
	kick       chan struct{}
}

// New returns a server that refuses whom it refused before. Nothing is started.
func New(config Config, log *slog.Logger) *Server {
	if config.Now == nil {
		config.Now = time.Now
	}
	s := &Server{
		config: config, log: log,
		slots: make(chan struct{}, maxConcurrent),
		quiet: quiet.New(config.Now),
		kick:  make(chan struct{}, 1),
	}
	if config.Client == nil {
		s.config.Client = s.supervisorClient
	}
	s.barred.Store(s.readBarred())
	return s
}

func (s *Server) supervisorClient() (kubernetes.Interface, error) {
	config, err := kubeclient.FromFile(s.config.Kubeconfig, s.config.UserAgent)
	if err != nil {
		return nil, err
	}
	return kubernetes.NewForConfig(config)
}

// api returns the client, made once.
func (s *Server) api() (kubernetes.Interface, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client != nil {
		return s.client, nil
	}
	client, err := s.config.Client()
	if err != nil {
		return nil, fmt.Errorf("make a client for the API: %w", err)
	}
	s.client = client
	return client, nil
}

func (s *Server) stores() (*Tokens, *Nodes, error) {
	client, err := s.api()
	if err != nil {
		return nil, nil, err
	}
	return &Tokens{client: client, now: s.config.Now}, &Nodes{client: client, now: s.config.Now}, nil
}

// checked is a request whose sender proved every key in it.
type checked struct {
	node   string
	device wire.Pin

	kubeletClient, kubeletServing, proxy, agent *ecdsa.PublicKey
}

// check verifies a request: its form, the device's signature over all of it,
// and the possession of each key.
func check(a *certs.Authorities, request *wire.JoinRequest) (checked, error) {
	bad := func(err error) (checked, error) {
		return checked{}, refuse(wire.CodeBadRequest, "the join request was refused: %v", err)
	}
	if err := request.Check(); err != nil {
		return bad(err)
	}
	device, err := pki.ParsePublicKey(request.DeviceKey)
	if err != nil {
		return bad(err)
	}
	if !signedFor(a.Server, device, request) {
		return bad(errors.New("the device key's signature is wrong"))
	}
	c := checked{node: request.Node}
	if c.device, err = pki.HashPublicKey(device); err != nil {
		return bad(err)
	}
	for _, part := range []struct {
		der  []byte
		into **ecdsa.PublicKey
	}{
		{request.KubeletClient, &c.kubeletClient}, {request.KubeletServing, &c.kubeletServing},
		{request.KubeProxy, &c.proxy}, {request.Agent, &c.agent},
	} {
		if *part.into, err = pki.CheckRequest(part.der); err != nil {
			return bad(err)
		}
	}
	return c, nil
}

// signedFor says whether the request was signed for one of the authorities: a
// node that has not renewed since they were replaced names the former one.
func signedFor(authorities []*x509.Certificate, device *ecdsa.PublicKey, request *wire.JoinRequest) bool {
	return slices.ContainsFunc(authorities, func(ca *x509.Certificate) bool {
		digest := request.Digest(pki.PinOf(ca))
		return ecdsa.VerifyASN1(device, digest[:], request.Signature)
	})
}

// issue signs what a node needs. All names come from here.
func (s *Server) issue(a *certs.Authorities, request *wire.JoinRequest, c checked) (*wire.JoinResponse, error) {
	now := s.config.Now()
	response := &wire.JoinResponse{
		ServerCA: pki.EncodeCert(a.Server...), ClientCA: pki.EncodeCert(a.ClientBundle...), Cluster: s.config.Cluster, Now: now,
	}
	for _, leaf := range []struct {
		ca     pki.Issuer
		public *ecdsa.PublicKey
		names  pki.Names
		into   *[]byte
	}{
		{a.Client, c.kubeletClient, pki.NodeClient(c.node, c.device), &response.KubeletClient},
		{a.Kubelet, c.kubeletServing, pki.NodeServing(c.node, request.NodeIPs), &response.KubeletServing},
		{a.Client, c.proxy, pki.ProxyClient(c.device), &response.KubeProxy},
		{a.Client, c.agent, pki.AgentClient(c.node, c.device), &response.Agent},
	} {
		chain, err := leaf.ca.Issue(leaf.public, leaf.names, now)
		if err != nil {
			return nil, err
		}
		*leaf.into = pki.EncodeCert(chain...)
	}
	return response, nil
}

// IssueLocal issues for the server's own node, without a token and without the
// API: whoever can call it has the data directory already. The name is recorded
// as soon as the API answers (see [Server.Component]).
func (s *Server) IssueLocal(_ context.Context, request wire.JoinRequest) (*wire.JoinResponse, error) {
	if request.Node != s.config.LocalNode {
		return nil, refuse(wire.CodeIdentity, "the server's own node is %q, not %q", s.config.LocalNode, request.Node)
	}
	a, err := s.config.Authorities()
	if err != nil {
		return nil, err
	}
	c, err := check(a, &request)
	if err != nil {
		return nil, err
	}
	response, err := s.issue(a, &request, c)
	if err != nil {
		return nil, err
	}
	s.pending.Store(&c.device)
	select {
	case s.kick <- struct{}{}:
	default:
	}
	return response, nil
}
