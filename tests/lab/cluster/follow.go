package cluster

import (
	"bytes"
	"net/http"
	"sync"
	"time"

	"github.com/kedge-io/kedge/tests/lab"
	"k8s.io/client-go/rest"
)

// following is a client's way to the API with the certificate that a kubeconfig holds
// now: in some scenarios it ends before they do.
type following struct {
	host *lab.Host
	path string

	mu     sync.Mutex
	looked time.Time
	text   []byte
	next   http.RoundTripper
}

// followed returns config with the certificate of the kubeconfig as it is at each request.
func followed(config *rest.Config, h *lab.Host, path string) *rest.Config {
	return &rest.Config{
		Host: config.Host, QPS: config.QPS, Burst: config.Burst, Timeout: config.Timeout, Transport: &following{host: h, path: path},
	}
}

// RoundTrip implements [http.RoundTripper].
func (f *following) RoundTrip(r *http.Request) (*http.Response, error) {
	next, err := f.transport()
	if err != nil {
		return nil, err
	}
	return next.RoundTrip(r)
}

func (f *following) transport() (http.RoundTripper, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.next != nil && time.Since(f.looked) < time.Second {
		return f.next, nil
	}
	text, err := f.host.ReadFile(f.path)
	if err != nil {
		return nil, err
	}
	f.looked = time.Now()
	if f.next != nil && bytes.Equal(text, f.text) {
		return f.next, nil
	}
	config, err := RESTConfig(f.host, f.path)
	if err != nil {
		return nil, err
	}
	if f.next, err = rest.TransportFor(config); err != nil {
		return nil, err
	}
	f.text = text
	return f.next, nil
}
