package registries

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// tokenPath is where containerd exchanges the password of a pod; see [proxy.token].
const tokenPath = "/token"

// proxy does for containerd what a hosts file cannot say: it changes names of
// repositories and shows passwords. It listens on loopback, answers those who have
// its key, reads only, and keeps nothing on disk.
type proxy struct {
	entrance entrance
	log      *slog.Logger
	listener net.Listener
	server   *http.Server
	routes   atomic.Pointer[map[string]*upstream]
}

// newProxy takes a free port. Nobody is served before [proxy.set].
func newProxy(log *slog.Logger) (*proxy, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for containerd: %w", err)
	}
	key := make([]byte, 16)
	_, _ = rand.Read(key) // never fails
	p := &proxy{listener: l, log: log, entrance: entrance{l.Addr().String(), Secret(hex.EncodeToString(key))}}
	p.routes.Store(&map[string]*upstream{})
	p.server = &http.Server{
		Handler: p, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return p, nil
}

// serve answers until ctx ends. Downloads in flight end with it.
func (p *proxy) serve(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { _ = p.server.Close() })()
	if err := p.server.Serve(p.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve containerd's requests for registries: %w", err)
	}
	return nil
}

// add lets routes be used besides those that are.
func (p *proxy) add(routes map[string]*upstream) {
	all := maps.Clone(*p.routes.Load())
	maps.Copy(all, routes)
	p.routes.Store(&all)
}

// set replaces all routes. Requests in flight end on the former ones.
func (p *proxy) set(routes map[string]*upstream) {
	for _, u := range *p.routes.Swap(&routes) {
		u.transport.CloseIdleConnections()
	}
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if subtle.ConstantTimeCompare([]byte(r.Header.Get(keyHeader)), []byte(p.entrance.key)) != 1 {
		http.Error(w, "this is kedge's way to registries, for its own containerd", http.StatusForbidden)
		return
	}
	if r.URL.Path == tokenPath {
		p.token(w, r)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		refuse(w, r, http.StatusMethodNotAllowed, "kedge reads from registries only")
		return
	}
	u, rest := p.find(r.URL.Path)
	if u == nil {
		refuse(w, r, http.StatusNotFound, "the registry settings have changed")
		return
	}
	who, known := caller(r)
	if !known {
		// containerd answers with the password of the pod, if there is one.
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s%s",service="kedge"`, p.entrance.address, tokenPath))
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	u.pass(w, r, rest, who)
}

// find takes the route from the front of a path.
func (p *proxy) find(path string) (u *upstream, rest string) {
	const segments = 3 // /REGISTRY/NUMBER/HOST
	end := 0
	for range segments {
		i := strings.IndexByte(path[min(end+1, len(path)):], '/')
		if i < 0 {
			return nil, ""
		}
		end += 1 + i
	}
	return (*p.routes.Load())[path[:end]], strings.TrimPrefix(path[end:], "/v2")
}

// refuse answers with a reason that reaches the person who waits for the pull.
// containerd asks by HEAD first, whose answer has no body, and shows the status
// line: so the reason is there, which net/http cannot do by itself.
func refuse(w http.ResponseWriter, r *http.Request, status int, reason string) {
	reason = oneLine(reason)
	body := fmt.Sprintf(`{"errors":[{"code":"KEDGE","message":%q}]}`, reason)
	h, ok := w.(http.Hijacker)
	if !ok {
		http.Error(w, body, status)
		return
	}
	conn, buf, err := h.Hijack()
	if err != nil {
		return // the peer is gone
	}
	defer conn.Close()
	_, _ = fmt.Fprintf(buf, "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n", status, reason, len(body))
	if r.Method != http.MethodHead {
		_, _ = buf.WriteString(body)
	}
	_ = buf.Flush()
}

// maxReason bounds what a status line tells, in bytes.
const maxReason = 400

func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return ' '
		}
		return r
	}, s)
	return s[:min(len(s), maxReason)]
}
