package enroll

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/kedge-io/kedge/internal/paths"
	"github.com/kedge-io/kedge/internal/wire"
	"github.com/kedge-io/kedge/tunnel/pipe"
)

// DefaultJoinTimeout is how long a first join keeps trying.
const DefaultJoinTimeout = time.Minute

// DefaultAPIEndpoint is the node's local end of the API.
const DefaultAPIEndpoint = "https://127.0.0.1:6444"

// Issuer answers a request without the network; see server/join.
type Issuer func(ctx context.Context, request wire.JoinRequest) (*wire.JoinResponse, error)

// Config says who the node is and where it joins. It is not changed.
type Config struct {
	Layout paths.Layout
	// Server is the URL that the user gave, https://HOST:6443.
	Server string
	// Token is the whole join token. It may be empty on a node that has joined.
	Token string
	// NodeName is what the node is called; a joined node cannot change it.
	NodeName string
	// NodeIPs go into the kubelet's serving certificate.
	NodeIPs []netip.Addr
	// APIEndpoint is what the kubeconfigs point to; [DefaultAPIEndpoint] when empty.
	APIEndpoint string
	// JoinTimeout bounds a first join; [DefaultJoinTimeout] when zero.
	JoinTimeout time.Duration

	// Issue and ServerCA are set for a server's own node: it asks in the same
	// process, and reads the server's CA from this file. Server and Token are
	// not used then.
	Issue    Issuer
	ServerCA string

	// Proxy chooses an HTTP proxy as in [http.Transport]; nil for none.
	Proxy func(*http.Request) (*url.URL, error)
	// ProxyRoots verify an https proxy; nil for the host's.
	ProxyRoots *x509.CertPool
	// NetDial and Lookup are those of [pipe.Config].
	NetDial func(ctx context.Context, network, addr string) (net.Conn, error)
	Lookup  pipe.Lookup
	// Report, where set, gets the trouble of a running renewal, and nil when
	// it is over.
	Report func(error)
	// Now is the clock; nil for the machine's.
	Now func() time.Time
	// Learn, where set, is told the time of a server that has proven itself.
	Learn func(time.Time)
}

// Validate says what is missing or wrong, all problems joined. A missing token
// is not a problem before it is known to be needed.
func (c Config) Validate() error {
	var errs []error
	if c.Layout.DataDir == "" {
		errs = append(errs, errors.New("a node needs a data directory: set --data-dir"))
	}
	if err := wire.CheckNodeName(c.NodeName); err != nil {
		errs = append(errs, err)
	}
	if len(c.NodeIPs) > wire.MaxNodeIPs {
		errs = append(errs, fmt.Errorf("%d addresses are more than %d: set --node-ip to those that matter", len(c.NodeIPs), wire.MaxNodeIPs))
	}
	if c.Issue != nil {
		if c.ServerCA == "" {
			errs = append(errs, errors.New("a server's own node needs the file of the server CA"))
		}
		return errors.Join(errs...)
	}
	if err := checkServer(c.Server); err != nil {
		errs = append(errs, err)
	}
	if c.Token != "" {
		if _, err := wire.ParseToken(c.Token); err != nil {
			errs = append(errs, fmt.Errorf("--token: %w: copy it whole, or make a new one on the server with: kedge token create", err))
		}
	}
	return errors.Join(errs...)
}

func checkServer(text string) error {
	if text == "" {
		return errors.New("an agent needs the URL of its server: set --server https://HOST:6443")
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || (u.Path != "" && u.Path != "/") || u.RawQuery != "" {
		return fmt.Errorf("--server %q must look like https://HOST:6443", text)
	}
	return nil
}

// hostPort is the address to dial for the URL of a server.
func hostPort(server string) string {
	u, err := url.Parse(server)
	if err != nil || u.Port() != "" {
		return strings.TrimSuffix(strings.TrimPrefix(server, "https://"), "/")
	}
	return net.JoinHostPort(u.Hostname(), "443")
}

func (c Config) endpoint() string {
	if c.APIEndpoint == "" {
		return DefaultAPIEndpoint
	}
	return c.APIEndpoint
}

func (c Config) joinTimeout() time.Duration {
	if c.JoinTimeout == 0 {
		return DefaultJoinTimeout
	}
	return c.JoinTimeout
}

// Files names what an enrolled node has on disk.
type Files struct {
	// Record is written last and says that the rest is complete.
	Record string
	// DeviceKey is the machine's long-lived key.
	DeviceKey string
	// Authorities that the node trusts: of its servers, and of their clients.
	ServerCA, ClientCA string

	KubeletClientCert, KubeletClientKey   string
	KubeletServingCert, KubeletServingKey string
	ProxyCert, ProxyKey                   string
	AgentCert, AgentKey                   string

	KubeletConfig, ProxyConfig, AgentConfig string
	// LiveKubelet and LiveProxy are what kubelet and kube-proxy read.
	LiveKubelet, LiveProxy string
}

// NewFiles returns the names for a layout. It touches nothing.
func NewFiles(layout paths.Layout) Files {
	tls := func(name string) string { return filepath.Join(layout.AgentTLS(), name) }
	return Files{
		Record: tls("enroll.json"), DeviceKey: tls("device.key"),
		ServerCA: tls("server-ca.crt"), ClientCA: tls("client-ca.crt"),
		KubeletClientCert: tls("client-kubelet.crt"), KubeletClientKey: tls("client-kubelet.key"),
		KubeletServingCert: tls("serving-kubelet.crt"), KubeletServingKey: tls("serving-kubelet.key"),
		ProxyCert: tls("client-kube-proxy.crt"), ProxyKey: tls("client-kube-proxy.key"),
		AgentCert: tls("client-kedge-agent.crt"), AgentKey: tls("client-kedge-agent.key"),
		KubeletConfig: layout.KubeletConfig(), ProxyConfig: layout.ProxyConfig(), AgentConfig: layout.AgentConfig(),
		LiveKubelet: layout.LiveKubeletConfig(), LiveProxy: layout.LiveProxyConfig(),
	}
}
