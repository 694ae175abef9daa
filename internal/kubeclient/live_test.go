package kubeclient

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kedge-io/kedge/internal/pki"
)

// bed is an authority, a server that says whom it sees, and the files of a client.
type bed struct {
	t      *testing.T
	ca     *pki.CA
	server *httptest.Server
	files  files
	more   chan string
}

func newBed(t *testing.T) *bed {
	t.Helper()
	dir := t.TempDir()
	name := func(file string) string { return filepath.Join(dir, file) }
	ca, err := pki.EnsureCA(name("ca.crt"), name("ca.key"), "test", time.Now())
	must(t, err)
	b := &bed{t: t, ca: ca, files: files{name("ca.crt"), name("c.crt"), name("c.key")}, more: make(chan string)}
	local := pki.Names{CommonName: "server", IPs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, Server: true}
	_, _, err = pki.EnsureLeaf(name("s.crt"), name("s.key"), ca, local, time.Now())
	must(t, err)
	pair, err := tls.LoadX509KeyPair(name("s.crt"), name("s.key"))
	must(t, err)
	b.server = httptest.NewUnstartedServer(http.HandlerFunc(b.serve))
	b.server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequestClientCert}
	b.server.EnableHTTP2 = true
	b.server.StartTLS()
	t.Cleanup(b.server.Close)
	b.issue("first")
	return b
}

// issue gives the client another certificate.
func (b *bed) issue(user string) {
	b.t.Helper()
	_, _, err := pki.EnsureLeaf(b.files.cert, b.files.key, b.ca, pki.Names{CommonName: user, Client: true}, time.Now())
	must(b.t, err)
}

func (b *bed) serve(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintln(w, r.TLS.PeerCertificates[0].Subject.CommonName)
	if r.URL.Path != "/watch" {
		return
	}
	for line := range b.more {
		fmt.Fprintln(w, line)
		w.(http.Flusher).Flush()
	}
}

func (b *bed) get(client http.RoundTripper, path string) *bufio.Scanner {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, b.server.URL+path, nil)
	must(b.t, err)
	response, err := client.RoundTrip(r)
	must(b.t, err)
	b.t.Cleanup(func() { _ = response.Body.Close() })
	return bufio.NewScanner(response.Body)
}

func expect(t *testing.T, lines *bufio.Scanner, want string) {
	t.Helper()
	if !lines.Scan() || lines.Text() != want {
		t.Errorf("got %q, %v, want %q", lines.Text(), lines.Err(), want)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// lookNow makes a live client look at its files at the next request.
func (l *live) lookNow() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.looked = time.Time{}
}

func TestRenewedCertificateIsShownAndARunningWatchGoesOn(t *testing.T) {
	b := newBed(t)
	client := &live{files: b.files, now: time.Now}
	watch := make(chan *bufio.Scanner)
	go func() { watch <- b.get(client, "/watch") }()
	b.more <- "one"
	running := <-watch
	expect(t, running, "first")
	expect(t, running, "one")

	b.issue("second")
	client.lookNow()
	expect(t, b.get(client, "/"), "second")
	go func() { b.more <- "two"; close(b.more) }()
	expect(t, running, "two")
}

func TestAClientGoesOnWhileItsFilesCannotBeRead(t *testing.T) {
	b := newBed(t)
	client := &live{files: b.files, now: time.Now}
	expect(t, b.get(client, "/"), "first")
	client.files.cert = "/does/not/exist"
	client.lookNow()
	expect(t, b.get(client, "/"), "first")
}

func TestServersAreVerifiedByTheGivenClock(t *testing.T) {
	b := newBed(t)
	client := &live{files: b.files, now: func() time.Time { return time.Now().AddDate(100, 0, 0) }}
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, b.server.URL, nil)
	must(t, err)
	if response, err := client.RoundTrip(r); err == nil {
		_ = response.Body.Close()
		t.Error("a server whose certificate ended long ago was believed")
	}
}

func TestKubeconfigForUpstreamIsLive(t *testing.T) {
	b := newBed(t)
	must(t, RegisterProvider())
	path := filepath.Join(t.TempDir(), "k")
	k := Kubeconfig{Server: b.server.URL, User: "u", CAFile: b.files.ca, CertFile: b.files.cert, KeyFile: b.files.key, Live: true}
	_, err := k.Write(path, 0o600)
	must(t, err)
	config, err := clientcmd.BuildConfigFromFlags("", path)
	must(t, err)
	transport, err := rest.TransportFor(config)
	must(t, err)
	expect(t, b.get(transport, "/"), "first")
	b.issue("second")
	sharedLive(b.files).lookNow()
	expect(t, b.get(transport, "/"), "second")
}

func TestClientsOfOneUserShareTheirConnections(t *testing.T) {
	b := newBed(t)
	path := filepath.Join(t.TempDir(), "k")
	k := Kubeconfig{Server: b.server.URL, User: "u", CAFile: b.files.ca, CertFile: b.files.cert, KeyFile: b.files.key}
	_, err := k.Write(path, 0o600)
	must(t, err)
	one, err := FromFile(path, "a")
	must(t, err)
	two, err := FromFile(path, "b")
	must(t, err)
	if one.Transport == nil || one.Transport != two.Transport {
		t.Errorf("got %v and %v", one.Transport, two.Transport)
	}
}
