package apilb

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tunnel/pipe"
)

func TestNodeStartsWithoutItsServerAndClientsGoOnWhenItComes(t *testing.T) {
	ca, addr := authority(t), freeAddr(t)
	n := startNode(t, ca, Config{Server: addr})
	testx.Eventually(t, within, "trouble is reported", func(context.Context) error {
		select {
		case err := <-n.report:
			if errors.Is(err, errNoServer) && strings.Contains(err.Error(), addr) {
				return nil
			}
			return err
		default:
			return errors.New("nothing yet")
		}
	})
	answer := make(chan string, 1)
	go func() {
		got, err := n.who(n.client(t)) // one request, held until there is a server
		if err != nil {
			got = err.Error()
		}
		answer <- got
	}()
	testx.Eventually(t, within, "the client is held", func(context.Context) error {
		n.pool.mu.Lock()
		defer n.pool.mu.Unlock()
		if n.pool.waiting == 0 {
			return errors.New("no client waits")
		}
		return nil
	})
	startServer(t, ca, "a", addr)
	if got := <-answer; got != "a" {
		t.Errorf("got %s", got)
	}
	testx.Eventually(t, within, "the end of the trouble is reported", func(context.Context) error { return <-n.report })
}

func TestClientsAreBackAfterARestartOfTheServer(t *testing.T) {
	ca := authority(t)
	a := startServer(t, ca, "a", "127.0.0.1:0")
	n := startNode(t, ca, Config{Server: a.addr})
	client := n.client(t)
	for range 3 {
		if got, err := n.who(client); err != nil || got != "a" {
			t.Fatalf("%s, %v", got, err)
		}
		a.stop()
		n.wantNone(t, client, a.addr)
		a = startServer(t, ca, "a", a.addr)
	}
}

// wantNone sees that requests fail or wait while addr is away.
func (n *node) wantNone(t *testing.T, c *http.Client, addr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	r, _ := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+n.cfg.Listen+"/who", nil)
	if response, err := c.Do(r); err == nil {
		_ = response.Body.Close()
		t.Fatalf("%s answers in spite of its stop", addr)
	}
}

func TestClientsGoToAProvenAddressAndBack(t *testing.T) {
	ca := authority(t)
	a, b := startServer(t, ca, "a", "127.0.0.1:0"), startServer(t, ca, "b", "127.0.0.1:0")
	file := filepath.Join(t.TempDir(), "servers.json")
	n := startNode(t, ca, Config{Server: a.addr, File: file})
	n.learn <- []netip.AddrPort{b.addrPort(), a.addrPort()}
	n.state(t, b.addr, StateGood)
	n.want(t, "a")
	a.stop()
	n.want(t, "b")
	n.state(t, a.addr, StateDown)
	kept := n.client(t)
	if got, err := n.who(kept); err != nil || got != "b" {
		t.Fatal(got, err)
	}
	startServer(t, ca, "a", a.addr)
	n.want(t, "b") // not at once: it may go again
	n.forward(2 * distrustLast)
	n.want(t, "a")
	// Whoever stays at b is led back when a has been good for long.
	n.forward(2 * steadyAfter)
	testx.Eventually(t, within, "the kept connection is led back", func(context.Context) error {
		got, err := n.who(kept)
		if err == nil && got != "a" {
			err = errors.New("still at " + got)
		}
		return err
	})
	n.learn <- []netip.AddrPort{a.addrPort()}
	testx.Eventually(t, within, "an address that is gone is forgotten", func(context.Context) error {
		text, err := os.ReadFile(file)
		if err == nil && (strings.Contains(string(text), b.addr) || len(n.Status()) != 1) {
			err = errors.New(string(text))
		}
		return err
	})
}

func TestImpostorNeverGetsAClient(t *testing.T) {
	ca := authority(t)
	a := startServer(t, ca, "a", "127.0.0.1:0")
	impostor := startServer(t, authority(t), "impostor", "127.0.0.1:0")
	n := startNode(t, ca, Config{Server: a.addr})
	n.learn <- []netip.AddrPort{impostor.addrPort()}
	testx.Eventually(t, within, "the impostor is found out", func(context.Context) error {
		for _, s := range n.Status() {
			if s.Address == impostor.addr && s.State == StateUnproven && strings.Contains(s.LastError, "not of the cluster") {
				return nil
			}
		}
		return errors.New("not yet")
	})
	a.stop()
	n.forward(2 * proofLast)
	n.wantNone(t, n.client(t), a.addr)
	n.state(t, impostor.addr, StateUnproven)
	if impostor.asked.Load() != 0 {
		t.Error("the impostor got a request")
	}
}

func TestAddressesOfAnEarlierRunHelpWhenTheGivenOneIsDead(t *testing.T) {
	ca := authority(t)
	b := startServer(t, ca, "b", "127.0.0.1:0")
	file := filepath.Join(t.TempDir(), "servers.json")
	if err := os.WriteFile(file, []byte(`{"servers":["`+b.addr+`"]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	n := startNode(t, ca, Config{Server: freeAddr(t), File: file})
	n.want(t, "b")
}

// freezer is a path to a server that may be cut without a sign.
type freezer struct {
	addr   string
	frozen atomic.Bool
	wg     sync.WaitGroup
}

func newFreezer(t *testing.T, to string) *freezer {
	t.Helper()
	f := &freezer{}
	var mu sync.Mutex
	var open []net.Conn
	f.addr = listen(t, func(in net.Conn) {
		out, err := net.Dial("tcp", to)
		if err != nil {
			_ = in.Close()
			return
		}
		mu.Lock()
		open = append(open, in, out)
		mu.Unlock()
		for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
			f.wg.Go(func() { f.copy(pair[0], pair[1]) })
		}
	})
	t.Cleanup(func() {
		mu.Lock()
		for _, c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		f.wg.Wait()
	})
	return f
}

func (f *freezer) copy(dst, src net.Conn) {
	buf := make([]byte, 4096)
	for {
		n, err := src.Read(buf)
		if f.frozen.Load() && err == nil {
			continue
		}
		if n > 0 {
			_, _ = dst.Write(buf[:n])
		}
		if err != nil {
			if !f.frozen.Load() {
				_ = dst.Close()
			}
			return
		}
	}
}

func TestServerThatFallsSilentLosesItsClients(t *testing.T) {
	ca := authority(t)
	a, b := startServer(t, ca, "a", "127.0.0.1:0"), startServer(t, ca, "b", "127.0.0.1:0")
	path := newFreezer(t, a.addr)
	n := startNode(t, ca, Config{Server: path.addr})
	n.learn <- []netip.AddrPort{b.addrPort()}
	n.state(t, b.addr, StateGood)
	client := n.client(t)
	if got, err := n.who(client); err != nil || got != "a" {
		t.Fatal(got, err)
	}
	path.frozen.Store(true)
	failed := make(chan error, 1)
	go func() { _, err := n.post(client); failed <- err }()
	testx.Eventually(t, within, "the server is found down", func(context.Context) error {
		n.forward(2 * patience)
		for _, s := range n.Status() {
			if s.Given && s.State == StateDown && s.Clients == 0 {
				return nil
			}
		}
		return errors.New("not yet")
	})
	if err := <-failed; err == nil {
		t.Error("a request at a silent server came back")
	}
	n.want(t, "b")
}

// post sends a request that no client repeats by itself.
func (n *node) post(c *http.Client) (string, error) {
	response, err := c.Post("https://"+n.cfg.Listen+"/slow", "text/plain", strings.NewReader(strings.Repeat("x", 200)))
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return string(text), err
}

func TestServerThatIsOnlySlowKeepsItsClients(t *testing.T) {
	ca := authority(t)
	a := startServer(t, ca, "a", "127.0.0.1:0")
	n := startNode(t, ca, Config{Server: a.addr})
	type answer struct {
		text string
		err  error
	}
	got := make(chan answer, 1)
	go func() {
		text, err := n.post(n.client(t))
		got <- answer{text, err}
	}()
	testx.Eventually(t, within, "suspicion", func(context.Context) error {
		n.forward(2 * patience)
		n.pool.mu.Lock()
		defer n.pool.mu.Unlock()
		for l := range n.pool.list[0].links {
			if l.back.Load() != 0 && n.pool.list[0].since.After(time.Now().Add(patience)) && l.waiting().IsZero() {
				return nil // suspected and absolved
			}
		}
		return errors.New("not yet")
	})
	close(a.slow)
	if a := <-got; a.err != nil || a.text != "a" {
		t.Errorf("%q, %v", a.text, a.err)
	}
}

func TestServerThatMovesIsFollowedByItsName(t *testing.T) {
	ca := authority(t)
	a := startServer(t, ca, "a", "127.0.0.1:0")
	places := map[string]string{"192.0.2.1:6443": a.addr}
	var at atomic.Value
	at.Store(netip.MustParseAddr("192.0.2.1"))
	var mu sync.Mutex
	given := "server.example:6443"
	n := startNode(t, ca, Config{Server: given, Dialer: dialer(ca, pipe.Config{
		Server: given,
		Lookup: func(context.Context, string) ([]netip.Addr, error) { return []netip.Addr{at.Load().(netip.Addr)}, nil },
		NetDial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			mu.Lock()
			to := places[addr]
			mu.Unlock()
			return (&net.Dialer{}).DialContext(ctx, network, to)
		},
	})})
	n.want(t, "a")
	b := startServer(t, ca, "b", "127.0.0.1:0")
	mu.Lock()
	places["192.0.2.2:6443"] = b.addr
	mu.Unlock()
	at.Store(netip.MustParseAddr("192.0.2.2"))
	a.stop()
	n.want(t, "b")
}

func TestThroughAProxyThatEndsTLS(t *testing.T) {
	ca := authority(t)
	a := startServer(t, ca, "a", "127.0.0.1:0")
	forward := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "https", Host: a.addr})
	forward.Transport = &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}
	var paths sync.Map
	front := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		paths.Store(r.URL.Path, true)
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	n := startNode(t, ca, Config{Server: front.Listener.Addr().String()})
	n.want(t, "a")
	if _, seen := paths.Load("/who"); seen {
		t.Error("the proxy could read the request")
	}
}
