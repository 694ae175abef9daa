package firewall

import (
	"context"
	"fmt"
	"net"
	"testing"

	"github.com/kedge-io/kedge/internal/testx"
)

// closing denies what was open.
const closing = `
apiVersion: edge.kedge.io/v1alpha1
kind: EdgeFirewall
metadata: {name: closing}
spec:
  onChange: %s
  ingress: {default: deny}
  egress: {default: deny}
`

// Flows that the rules do not let begin, and flows that go on in any case.
var closed, kept = []probe{
	{who: "stranger", protocol: "tcp", to: "server:9200"},
	{who: "stranger", protocol: "udp", to: "server:9200"},
	{who: "stranger", protocol: "tcp", to: "server:30080"},
	{who: "stranger", protocol: "udp", to: "server:30053"},
	{who: "stranger", protocol: "tcp", to: "server:8081"},
	{who: "lan", protocol: "tcp", to: "edge1:9200"},
	{who: "lan", protocol: "tcp", to: "edge1:30080"},
	{who: "lan", protocol: "udp", to: "edge1:30053"},
	{who: "edge1", protocol: "tcp", to: "stranger:7000"},
	{who: "edge1", protocol: "udp", to: "stranger:7000"},
}, []probe{
	{who: "stranger", protocol: "tcp", to: "server:8443"},
	{who: "friend", protocol: "tcp", to: "server:8444"},
	{who: "lan", protocol: "tcp", to: "edge1:8443"},
}

// request is one that the application answers by HTTP, and others by sending it
// back.
const request = "GET / HTTP/1.1\r\nHost: app\r\n\r\n"

// changes opens connections and then denies them.
func (s *scene) changes(t *testing.T) {
	for _, onChange := range []string{"keep", "cut"} {
		t.Run(onChange, func(t *testing.T) {
			s.enforce(t, "")
			old, other := s.begin(t, closed), s.begin(t, kept)
			s.enforce(t, fmt.Sprintf(closing, onChange))
			for _, p := range closed {
				if got := s.send(t.Context(), p); got != dropped {
					t.Errorf("%s, begun after the change: %s, want dropped", p, got)
				}
			}
			s.goOn(t, kept, other, true)
			s.goOn(t, closed, old, onChange == "keep")
		})
	}
}

func (s *scene) begin(t *testing.T, probes []probe) []net.Conn {
	t.Helper()
	var all []net.Conn
	for _, p := range probes {
		var conn net.Conn
		testx.Eventually(t, settles, p.String()+" begins", func(ctx context.Context) error {
			c, err := s.dial(ctx, p.who, p.protocol, p.to)
			if err != nil {
				return err
			}
			if conn = c; ask(c, request, wait) != nil {
				_ = c.Close()
				return fmt.Errorf("no answer")
			}
			return nil
		})
		t.Cleanup(func() { _ = conn.Close() })
		all = append(all, conn)
	}
	return all
}

// goOn asks once more through connections that were there.
func (s *scene) goOn(t *testing.T, probes []probe, conns []net.Conn, want bool) {
	t.Helper()
	for i, p := range probes {
		patience := wait
		if want {
			patience = settles
		}
		if err := ask(conns[i], request, patience); (err == nil) != want {
			t.Errorf("%s, begun before the change, goes on: %t (%v), want %t", p, err == nil, err, want)
		}
	}
}
