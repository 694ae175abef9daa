package kubeclient

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	utilnet "k8s.io/apimachinery/pkg/util/net"

	"github.com/kedge-io/kedge/internal/pki"
)

const (
	// lookEvery is how often the files of a client in use are looked at.
	lookEvery = time.Second
	// idleTimeout is how long a connection without requests stays.
	idleTimeout = 90 * time.Second
)

// files names what a client trusts and what it shows.
type files struct{ ca, cert, key string }

// live is a client's way to the API that follows its files. From a change on,
// new requests go over new connections, with the new certificate and
// authorities; requests and watches that run end on the connection that they
// began on. client-go's own reload looks every five minutes, which is too late
// for a certificate of ten, and cuts everything that runs.
//
// It is safe for concurrent use and has no goroutine of its own.
type live struct {
	files files
	now   func() time.Time

	mu      sync.Mutex
	looked  time.Time
	seen    []os.FileInfo
	current *http.Transport
}

// RoundTrip implements [http.RoundTripper].
func (l *live) RoundTrip(r *http.Request) (*http.Response, error) {
	t, err := l.transport()
	if err != nil {
		return nil, err
	}
	return t.RoundTrip(r)
}

// CloseIdleConnections closes what no request uses.
func (l *live) CloseIdleConnections() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.current != nil {
		l.current.CloseIdleConnections()
	}
}

// transport returns the one for the files as they are now. While they cannot be
// read, the former one goes on.
func (l *live) transport() (*http.Transport, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.current != nil && time.Since(l.looked) < lookEvery {
		return l.current, nil
	}
	l.looked = time.Now()
	seen := l.files.stat()
	if l.current != nil && same(l.seen, seen) {
		return l.current, nil
	}
	next, err := l.make()
	if err != nil && l.current == nil {
		return nil, err
	}
	if err != nil {
		return l.current, nil
	}
	if l.current != nil {
		l.current.CloseIdleConnections()
	}
	l.current, l.seen = next, seen
	return next, nil
}

func (l *live) make() (*http.Transport, error) {
	text, err := os.ReadFile(l.files.ca)
	if err != nil {
		return nil, fmt.Errorf("read the authorities of the API: %w", err)
	}
	authorities, err := pki.ParseCerts(text)
	if err != nil {
		return nil, fmt.Errorf("read the authorities of the API %s: %w", l.files.ca, err)
	}
	pair, err := tls.LoadX509KeyPair(l.files.cert, l.files.key)
	if err != nil {
		return nil, fmt.Errorf("read a client's certificate: %w", err)
	}
	return utilnet.SetTransportDefaults(&http.Transport{
		TLSClientConfig: &tls.Config{
			MinVersion: tls.VersionTLS12, RootCAs: pki.Pool(authorities...), Time: l.now,
			// Not Certificates: crypto/tls leaves those out, without a word, that
			// the server's list of authorities does not name.
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil },
		},
		DialContext:         (&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout: 10 * time.Second, IdleConnTimeout: idleTimeout, MaxIdleConnsPerHost: 25,
	}), nil
}

// stat looks at the files; what is not there is nil.
func (f files) stat() []os.FileInfo {
	var out []os.FileInfo
	for _, name := range []string{f.ca, f.cert, f.key} {
		info, _ := os.Stat(name)
		out = append(out, info)
	}
	return out
}

// same says that nothing was written: kedge writes a new file and renames it.
func same(a, b []os.FileInfo) bool {
	for i := range b {
		if a[i] == nil || b[i] == nil || !os.SameFile(a[i], b[i]) || !a[i].ModTime().Equal(b[i].ModTime()) {
			return false
		}
	}
	return true
}
