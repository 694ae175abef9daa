package proxies

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kedge-io/kedge/tests/lab"
)

// Proxy runs until Close.
type Proxy struct {
	server   *http.Server
	carriers sync.WaitGroup
	stop     context.CancelFunc
	carried  atomic.Int64
	refused  atomic.Int64
}

// Carried is how many tunnels or requests went through so far.
func (p *Proxy) Carried() int64 { return p.carried.Load() }

// Refused is how many were turned away.
func (p *Proxy) Refused() int64 { return p.refused.Load() }

// Close ends everything that goes through and waits until it has ended.
func (p *Proxy) Close() {
	_ = p.server.Close()
	p.stop()
	p.carriers.Wait()
}

// start serves on the host's address.
func start(h *lab.Host, address string, handler func(*Proxy, context.Context) http.Handler, serve func(*http.Server, net.Listener) error) (*Proxy, error) {
	l, err := h.Listen("tcp4", address)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	p := &Proxy{stop: stop}
	p.server = &http.Server{
		Handler: handler(p, ctx), ReadHeaderTimeout: 10 * time.Second,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	p.carriers.Go(func() { _ = serve(p.server, l) })
	return p, nil
}

// Connect serves HTTP CONNECT on the host. It takes numeric targets and the name of the server's
// host, whose address server returns.
func Connect(h *lab.Host, address string, server func() string) (*Proxy, error) {
	handler := func(p *Proxy, ctx context.Context) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodConnect {
				p.refused.Add(1)
				http.Error(w, "this proxy hands through and does nothing else", http.StatusMethodNotAllowed)
				return
			}
			target := strings.Replace(r.Host, "server."+lab.Zone, server(), 1)
			out, err := h.DialContext(r.Context(), "tcp4", target)
			if err != nil {
				p.refused.Add(1)
				http.Error(w, err.Error(), http.StatusBadGateway)
				return
			}
			p.tunnel(ctx, w, out)
		})
	}
	return start(h, address, handler, func(s *http.Server, l net.Listener) error { return s.Serve(l) })
}

// tunnel answers the CONNECT and copies until both directions have ended.
func (p *Proxy) tunnel(ctx context.Context, w http.ResponseWriter, out net.Conn) {
	w.WriteHeader(http.StatusOK)
	in, early, err := http.NewResponseController(w).Hijack()
	if err != nil {
		_ = out.Close()
		return
	}
	p.carried.Add(1)
	done := context.AfterFunc(ctx, func() { _ = in.Close(); _ = out.Close() })
	p.carriers.Go(func() {
		defer done()
		defer in.Close()
		defer out.Close()
		var both sync.WaitGroup
		both.Go(func() { copyHalf(out, early) })
		both.Go(func() { copyHalf(in, out) })
		both.Wait()
	})
}

// copyHalf copies until the end of from and then ends that direction.
func copyHalf(to net.Conn, from io.Reader) {
	_, err := io.Copy(to, from)
	if half, ok := to.(interface{ CloseWrite() error }); ok && err == nil {
		_ = half.CloseWrite()
		return
	}
	_ = to.Close()
}
