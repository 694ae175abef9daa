package registries

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"
	"time"
)

// uplink lets connections through until it is cut: then those that are open bring
// nothing any more, without an error, and new ones work.
type uplink struct {
	cut atomic.Int32 // how many generations of connections are dead
}

// through carries a new connection to address.
func (l *uplink) through(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, network, address)
	return &cable{c, l, l.cut.Load()}, err
}

type cable struct {
	net.Conn
	link *uplink
	made int32
}

// Write loses what is sent on a dead connection.
func (c *cable) Write(p []byte) (int, error) {
	if c.link.cut.Load() != c.made {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

func TestConnectionThatWentSilentIsReplaced(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Proto)
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	at, err := url.Parse(s.URL + "/v2")
	if err != nil {
		t.Fatal(err)
	}
	p := serveRoute(t, route{upstream: at, host: Host{TLS: TLS{Insecure: true}}})
	var line uplink
	for _, u := range *p.routes.Load() {
		u.limit = 200 * time.Millisecond
		u.transport.DialContext = line.through
		if h := u.transport.HTTP2; h != nil { // the same with less patience
			h.SendPingTimeout, h.PingTimeout = 20*time.Millisecond, 20*time.Millisecond
		}
	}
	if resp, body := ask(t, p, "GET", "a/manifests/1", Auth{}); body != "HTTP/2.0" {
		t.Fatalf("%s %s", resp.Status, body)
	}
	line.cut.Add(1)
	for deadline := time.Now().Add(5 * time.Second); ; {
		resp, _ := ask(t, p, "GET", "a/manifests/1", Auth{})
		if resp.StatusCode == http.StatusOK {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("every request goes to the dead connection: %s", resp.Status)
		}
	}
}
