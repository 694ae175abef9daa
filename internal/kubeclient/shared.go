package kubeclient

import (
	"errors"
	"net/http"
	"sync"
	"time"

	"k8s.io/client-go/rest"
)

// provider is the name under which kubeconfigs of upstream's parts ask for a
// live client. Its settings are names of files.
const (
	provider                              = "kedge"
	providerCA, providerCert, providerKey = "certificate-authority", "client-certificate", "client-key"
)

// shared holds one live client for each set of files, so that all parts of a
// process that are the same user share their connections. It is the process's,
// as client-go's cache of transports and its registry of providers are: a part
// of upstream that reads a kubeconfig can be handed nothing else.
var shared = struct {
	mu      sync.Mutex
	now     func() time.Time
	clients map[files]*live
}{now: time.Now, clients: map[files]*live{}}

// UseClock sets the clock by which all live clients of this process verify
// servers. It counts for connections made from now on.
func UseClock(now func() time.Time) {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	shared.now = now
}

func sharedNow() time.Time {
	shared.mu.Lock()
	now := shared.now
	shared.mu.Unlock()
	return now()
}

func sharedLive(f files) *live {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	l := shared.clients[f]
	if l == nil {
		l = &live{files: f, now: sharedNow}
		shared.clients[f] = l
	}
	return l
}

// follow makes a client configuration that names files live. Others stay.
func follow(config *rest.Config) {
	f := files{ca: config.CAFile, cert: config.CertFile, key: config.KeyFile}
	if f.ca == "" || f.cert == "" || f.key == "" || len(config.CAData)+len(config.CertData)+len(config.KeyData) > 0 {
		return
	}
	config.TLSClientConfig, config.Transport = rest.TLSClientConfig{}, sharedLive(f)
}

// RegisterProvider lets upstream's parts read kubeconfigs with Live set. It may
// be called again.
func RegisterProvider() error { return registered() }

var registered = sync.OnceValue(func() error { return rest.RegisterAuthProviderPlugin(provider, newProvider) })

// liveProvider replaces client-go's transport.
type liveProvider struct{ live *live }

func newProvider(_ string, config map[string]string, _ rest.AuthProviderConfigPersister) (rest.AuthProvider, error) {
	f := files{ca: config[providerCA], cert: config[providerCert], key: config[providerKey]}
	if f.ca == "" || f.cert == "" || f.key == "" {
		return nil, errors.New("the kubeconfig names not all of authority, certificate and key")
	}
	return liveProvider{sharedLive(f)}, nil
}

// WrapTransport implements [rest.AuthProvider].
func (p liveProvider) WrapTransport(http.RoundTripper) http.RoundTripper { return p.live }

// Login implements [rest.AuthProvider].
func (p liveProvider) Login() error { return nil }
