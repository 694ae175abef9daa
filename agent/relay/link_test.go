//go:build namespace

package relay

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kedge-io/kedge/tunnel"
	"github.com/kedge-io/kedge/tunnel/mux"
	"github.com/kedge-io/kedge/tunnel/relay"
	"github.com/kedge-io/kedge/tunnel/sock"
)

// hub is a switch whose nodes are behind links, as on a server.
type hub struct {
	*relay.Switch
	tls   *tls.Config
	links map[tunnel.NodeName]*mux.Session
}

// newHub makes the server's end for nodes; connect is called for each.
func newHub(t testing.TB) *hub {
	h := &hub{tls: selfSigned(t), links: map[tunnel.NodeName]*mux.Session{}}
	h.Switch = relay.New(relay.Config{Send: func(node tunnel.NodeName, p []byte) bool {
		s := h.links[node]
		return s != nil && s.SendPacket(p)
	}}, logger(t))
	return h
}

// connect makes a session with a relay lane between hub and node over TLS. The
// server listens at addr in the namespace on, and the node dials from its own;
// nil is the test's own namespace.
func (h *hub) connect(t testing.TB, name tunnel.NodeName, from, on *host, addr string) *spoke {
	t.Helper()
	inside := func(h *host, f func()) {
		if h == nil {
			f()
			return
		}
		h.Do(f)
	}
	var l net.Listener
	var err error
	inside(on, func() { l, err = net.Listen("tcp", addr) })
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := &spoke{}
	ours, theirs := mux.New(false, mux.Config{Packet: func(p []byte) { h.From(name, p) }}), mux.New(true, mux.Config{Packet: s.receive})
	s.session = theirs
	h.links[name] = ours
	t.Cleanup(func() { ours.Close(errEnd); theirs.Close(errEnd); <-ours.Done(); <-theirs.Done() })
	var conn net.Conn
	inside(from, func() { conn, err = net.Dial("tcp", l.Addr().String()) })
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	sock.Tune(conn, tunnel.LaneRelay, patience)
	sock.Tune(accepted, tunnel.LaneRelay, patience)
	client := tls.Client(conn, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // the test's own certificate
	server := tls.Server(accepted, h.tls)
	attached := make(chan error, 1)
	go func() {
		_, err := ours.Attach(tunnel.LaneRelay, 0, server)
		attached <- errors.Join(err, server.Handshake())
	}()
	if err := client.Handshake(); err != nil {
		t.Fatal(err)
	}
	if _, err := theirs.Attach(tunnel.LaneRelay, 0, client); err != nil {
		t.Fatal(err)
	}
	if err := <-attached; err != nil {
		t.Fatal(err)
	}
	return s
}

var errEnd = errors.New("the test ends")

// spoke is the node's end of a link.
type spoke struct {
	session  *mux.Session
	receiver atomic.Pointer[func(p []byte)]
}

func (s *spoke) Send(p []byte) bool { return s.session.SendPacket(p) }

func (s *spoke) SetReceiver(f func(p []byte)) {
	if f == nil {
		s.receiver.Store(nil)
		return
	}
	s.receiver.Store(&f)
}

func (s *spoke) receive(p []byte) {
	if f := s.receiver.Load(); f != nil {
		(*f)(p)
	}
}

func selfSigned(t testing.TB) *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}
