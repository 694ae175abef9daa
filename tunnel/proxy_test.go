package tunnel_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
)

func TestLinkWorksThroughAConnectProxy(t *testing.T) {
	a := newAuthority(t)
	addr, rules := listen(t, echo)
	srv := startServer(t, a, "127.0.0.1:0", nil)
	var wg sync.WaitGroup
	carrying := make(chan struct{})
	var once sync.Once
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out, err := net.Dial("tcp", r.Host)
		if r.Method != http.MethodConnect || err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		w.WriteHeader(http.StatusOK)
		// Before the server forgets the connection: its Close waits until then.
		wg.Add(2)
		once.Do(func() { close(carrying) })
		in, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			wg.Add(-2)
			t.Error(err)
			return
		}
		for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
			go func() {
				defer wg.Done()
				_, _ = io.Copy(pair[0], pair[1])
				_ = pair[0].Close()
			}()
		}
	}))
	cfg := nodeConfig(t, a, nodeNames("edge-1"), srv.addr, rules)
	cfg.Proxy = func(*http.Request) (*url.URL, error) { return url.Parse(proxy.URL) }
	n := startNode(t, cfg)
	n.waitReady(t)
	mustRoundTrip(t, dial(t, srv.hub, "edge-1", addr))
	n.stop()
	<-carrying
	proxy.Close()
	wg.Wait()
}
