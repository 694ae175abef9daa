package preflight

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/kedge-io/kedge/internal/finding"
	"github.com/kedge-io/kedge/internal/wire"
	"github.com/kedge-io/kedge/tunnel/pipe"
)

// Limits of the steps towards the server; together they stay below [networkLimit].
const (
	lookupFor  = 1500 * time.Millisecond
	connectFor = 1500 * time.Millisecond
	answerFor  = 1500 * time.Millisecond
)

// server looks whether the server can be reached and is the one that is meant.
func (m *machine) server(ctx context.Context) []finding.Finding {
	target, err := hostPort(m.cfg.URL)
	if err != nil {
		return one(finding.ServerURL, finding.Error, "%v", err)
	}
	var out []finding.Finding
	known, tokenFinding := m.trusted()
	if tokenFinding != nil {
		out = append(out, *tokenFinding)
	}
	w := &visit{machine: m, target: target, known: known}
	w.dialer = pipe.New(pipe.Config{
		Server: target, Proxy: m.cfg.Proxy, NetDial: w.dial, Lookup: w.patient,
		TLS: func() (*tls.Config, error) { return anybody(target), nil },
	}, slog.New(slog.DiscardHandler))
	return append(out, w.run(ctx)...)
}

// trusted are the hashes of the authorities' keys by which the server is known, and
// what is wrong with the token.
func (m *machine) trusted() (map[wire.Pin]bool, *finding.Finding) {
	known := map[wire.Pin]bool{}
	for _, c := range m.cfg.CA {
		known[pinOf(c)] = true
	}
	if m.cfg.Joined && len(known) > 0 {
		return known, nil
	}
	if m.cfg.TokenError != nil {
		f := finding.New(finding.ServerToken, finding.Error, "%v", m.cfg.TokenError)
		return known, &f
	}
	if m.cfg.Token == "" {
		f := finding.New(finding.ServerToken, finding.Error, "there is no join token, and this machine has not joined")
		return known, &f
	}
	token, err := wire.ParseToken(m.cfg.Token)
	if err != nil {
		f := finding.New(finding.ServerToken, finding.Error, "%v", err)
		return known, &f
	}
	known[token.Pin] = true
	return known, nil
}

// visit is one look at the server.
type visit struct {
	*machine
	target string
	known  map[wire.Pin]bool
	dialer *pipe.Dialer
}

// hostPort is the address in a server's URL, as the agent reads it.
func hostPort(server string) (string, error) {
	u, err := url.Parse(server)
	switch {
	case server == "":
		return "", errors.New("no server is named")
	case err != nil || u.Scheme != "https" || u.Hostname() == "":
		return "", fmt.Errorf("--server %q is not like https://HOST:6443", server)
	case u.Port() == "":
		return net.JoinHostPort(u.Hostname(), "443"), nil
	}
	return u.Host, nil
}

func (v *visit) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	return (&net.Dialer{Timeout: connectFor}).DialContext(ctx, network, addr)
}

// patient tells a resolver that is silent from a name that is unknown.
func (v *visit) patient(ctx context.Context, name string) ([]netip.Addr, error) {
	limited, cancel := context.WithTimeout(ctx, lookupFor)
	defer cancel()
	found, err := v.lookup(limited, name)
	if err != nil && limited.Err() != nil {
		return nil, &net.DNSError{Err: "no answer within " + lookupFor.String(), Name: name, IsTimeout: true}
	}
	return found, err
}

// run goes on until something is wrong.
func (v *visit) run(ctx context.Context) []finding.Finding {
	began := time.Now()
	conn, err := v.dialer.Connect(ctx, "tcp", v.target)
	if err != nil {
		return v.unreached(err)
	}
	seen, err := v.look(ctx, conn)
	if err == nil {
		return v.judge(ctx, seen, time.Since(began))
	}
	var other *statusError
	if errors.As(err, &other) || errors.Is(err, errNoCerts) {
		// A proxy that ends TLS may forward nothing but the websocket.
		if behind := v.between(ctx, seen); finding.Worst(behind) != finding.Error {
			return behind
		}
	}
	return v.silent(err)
}

// unreached tells the ways apart in which there is no connection.
func (v *visit) unreached(err error) []finding.Finding {
	name := func() string { host, _, _ := net.SplitHostPort(v.target); return host }()
	var unknown *net.DNSError
	switch proxy := v.proxy(); {
	case proxy != "":
		return one(finding.ServerProxy, finding.Error, "through %s: %v", proxy, err)
	case errors.As(err, &unknown) && unknown.IsTimeout:
		return one(finding.ServerDNS, finding.Error, "no resolver answered for %s: %s", name, unknown.Err)
	case errors.As(err, &unknown) && unknown.IsNotFound:
		return one(finding.ServerName, finding.Error, "the name %s has no address", name)
	case errors.As(err, &unknown):
		return one(finding.ServerDNS, finding.Error, "looking up %s: %s", name, unknown.Err)
	case errors.Is(err, syscall.ECONNREFUSED):
		return one(finding.ServerRefused, finding.Error, "%s refuses the connection", v.target)
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return one(finding.ServerNoRoute, finding.Error, "no way to %s: %v", v.target, err)
	case errTimeout(err):
		return one(finding.ServerTimeout, finding.Error, "%s did not answer within %s", v.target, connectFor)
	}
	return one(finding.ServerTimeout, finding.Error, "%s cannot be reached: %v", v.target, err)
}

// proxy is the HTTP proxy for the server, "" for none.
func (v *visit) proxy() string {
	if v.cfg.Proxy == nil {
		return ""
	}
	proxy, err := v.cfg.Proxy(&http.Request{Method: http.MethodConnect, URL: &url.URL{Scheme: "https", Host: v.target}})
	switch {
	case err != nil:
		return "HTTPS_PROXY"
	case proxy == nil:
		return ""
	}
	return proxy.Redacted()
}

// silent tells the ways apart in which a connection leads to nothing.
func (v *visit) silent(err error) []finding.Finding {
	var plain tls.RecordHeaderError
	var other *statusError
	switch {
	case errors.As(err, &plain):
		return one(finding.ServerNoTLS, finding.Error, "%s answers, but does not speak TLS", v.target)
	case errTimeout(err):
		return one(finding.ServerTimeout, finding.Error, "%s takes the connection and then says nothing for %s", v.target, answerFor)
	case errors.As(err, &other) && other.code >= http.StatusInternalServerError:
		return one(finding.ServerNotReady, finding.Error, "%s answers %s", v.target, other.status)
	case errors.As(err, &other):
		return one(finding.ServerOther, finding.Error, "%s answers %s when asked for %s", v.target, other.status, wire.PathCACerts)
	case errors.Is(err, errNoCerts):
		return one(finding.ServerOther, finding.Error, "%s: %v", v.target, err)
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return one(finding.ServerNoTLS, finding.Error, "%s hangs up during the handshake: %v", v.target, err)
	}
	return one(finding.ServerNoTLS, finding.Error, "%s: %v", v.target, err)
}

// statusError is an answer other than 200.
type statusError struct {
	code   int
	status string
}

func (s *statusError) Error() string { return s.status }

var errNoCerts = errors.New("the answer has no certificates in it")

// anybody is the client's side of a handshake that believes everybody: what is shown
// is looked at afterwards, and nothing is sent that is worth anything.
func anybody(target string) *tls.Config {
	host, _, _ := net.SplitHostPort(target)
	return &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true, ServerName: host, NextProtos: []string{"http/1.1"}}
}

// look shakes hands and asks for the authorities. It closes conn.
func (v *visit) look(ctx context.Context, conn net.Conn) (seen, error) {
	defer func() { _ = conn.Close() }()
	limited, cancel := context.WithTimeout(ctx, answerFor)
	defer cancel()
	secure := tls.Client(conn, anybody(v.target))
	if err := secure.HandshakeContext(limited); err != nil {
		return seen{}, err
	}
	deadline, _ := limited.Deadline()
	if err := secure.SetDeadline(deadline); err != nil {
		return seen{}, err
	}
	request, err := http.NewRequestWithContext(limited, http.MethodGet, "https://"+v.target+wire.PathCACerts, nil)
	if err != nil {
		return seen{}, err
	}
	request.Header.Set("User-Agent", "kedge-check")
	request.Close = true
	if err := request.Write(secure); err != nil {
		return seen{}, err
	}
	response, err := http.ReadResponse(bufio.NewReader(secure), request)
	if err != nil {
		return seen{}, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, wire.MaxBody))
	if err != nil {
		return seen{}, err
	}
	out := seen{shown: secure.ConnectionState(), at: time.Now()}
	if response.StatusCode != http.StatusOK {
		return out, &statusError{response.StatusCode, strings.TrimSpace(response.Status)}
	}
	if out.date, err = http.ParseTime(response.Header.Get("Date")); err != nil {
		out.date = time.Time{}
	}
	return out, out.read(body)
}
