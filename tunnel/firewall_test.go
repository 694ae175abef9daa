package tunnel_test

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/kedge-io/kedge/tunnel"
	"github.com/kedge-io/kedge/tunnel/access"
	"github.com/kedge-io/kedge/tunnel/hub"
	"github.com/kedge-io/kedge/tunnel/transport"
)

// echoFirewall is a node's end that returns what it gets, and says when its
// context has ended.
func echoFirewall(ended chan<- struct{}) func(context.Context, net.Conn) {
	return func(ctx context.Context, conn net.Conn) {
		_, _ = io.Copy(conn, conn)
		<-ctx.Done()
		ended <- struct{}{}
	}
}

func TestTheStreamOfTheFirewallIsOnTheControlLane(t *testing.T) {
	a := newAuthority(t)
	srv := startServer(t, a, "127.0.0.1:0", nil)
	ended := make(chan struct{}, 10)
	cfg := nodeConfig(t, a, nodeNames("edge-1"), srv.addr, access.Rules{})
	cfg.Firewall = echoFirewall(ended)
	n := startNode(t, cfg)
	n.waitReady(t)
	conn, err := srv.hub.DialFirewall(t.Context(), "edge-1")
	if err != nil {
		t.Fatal(err)
	}
	mustRoundTrip(t, conn)
	for _, lane := range srv.hub.Status()[0].Lanes {
		if lane.Streams > 0 && lane.Class != tunnel.LaneControl {
			t.Errorf("lane %s has %d streams", lane.Class, lane.Streams)
		}
	}
	if words := n.Status().Capabilities; !slices.Contains(words, transport.CapabilityFirewall) {
		t.Errorf("capabilities of the link are %v", words)
	}
	_ = conn.Close()
	<-ended
	// A stream that the server leaves open ends with the session.
	if _, err = srv.hub.DialFirewall(t.Context(), "edge-1"); err != nil {
		t.Fatal(err)
	}
	n.stop()
	<-ended
}

func TestANodeWithoutFirewallIsNotDialled(t *testing.T) {
	a := newAuthority(t)
	srv := startServer(t, a, "127.0.0.1:0", nil)
	plain := nodeConfig(t, a, nodeNames("edge-1"), srv.addr, access.Rules{})
	first := nodeConfig(t, a, nodeNames("edge-2"), srv.addr, access.Rules{})
	first.ControlOnly = true
	startNode(t, plain).waitReady(t)
	startNode(t, first).waitReady(t)
	for _, name := range []tunnel.NodeName{"edge-1", "edge-2"} {
		if _, err := srv.hub.DialFirewall(t.Context(), name); !errors.Is(err, hub.ErrNoFirewall) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if st := srv.hub.Status()[0]; len(st.DialErrors) > 0 {
		t.Errorf("counted as failures: %v", st.DialErrors)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	var missing *tunnel.NotConnectedError
	if _, err := srv.hub.DialFirewall(ctx, "edge-3"); !errors.As(err, &missing) {
		t.Errorf("a node that is not there: %v", err)
	}
}

func TestAServerWithoutFirewallIsNoTrouble(t *testing.T) {
	a := newAuthority(t)
	addr, rules := listen(t, echo)
	srv := startServer(t, a, "127.0.0.1:0", func(c *hub.Config) { c.ControlOnly = true })
	cfg := nodeConfig(t, a, nodeNames("edge-1"), srv.addr, rules)
	cfg.Firewall = echoFirewall(make(chan struct{}, 1))
	startNode(t, cfg).waitReady(t)
	mustRoundTrip(t, dial(t, srv.hub, "edge-1", addr))
}

func TestStreamsOfTheFirewallAreBounded(t *testing.T) {
	a := newAuthority(t)
	srv := startServer(t, a, "127.0.0.1:0", nil)
	ended := make(chan struct{}, 100)
	cfg := nodeConfig(t, a, nodeNames("edge-1"), srv.addr, access.Rules{})
	cfg.Firewall = echoFirewall(ended)
	startNode(t, cfg).waitReady(t)
	open := func() error {
		_, err := srv.hub.DialFirewall(t.Context(), "edge-1")
		return err
	}
	var err error
	for n := 0; n < 20 && err == nil; n++ {
		err = open()
	}
	if refused := new(tunnel.RefusedError); !errors.As(err, &refused) || refused.Kind != tunnel.RefusedOverload {
		t.Fatalf("got %v", err)
	}
	srv.hub.Disconnect("edge-1", errors.New("a new beginning"))
	eventually(t, "a stream to be served again", func() bool { return open() == nil })
}
