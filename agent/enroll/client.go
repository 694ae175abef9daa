package enroll

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/kedge-io/kedge/internal/pki"
	"github.com/kedge-io/kedge/internal/wire"
	"github.com/kedge-io/kedge/tunnel/pipe"
	"github.com/kedge-io/kedge/tunnel/transport"
)

// requestTimeout bounds one exchange, handshake included. Thin links are slow,
// but an answer is a few kilobytes.
const requestTimeout = 20 * time.Second

// permanentError is trouble that waiting does not mend.
type permanentError struct{ err error }

func (p *permanentError) Error() string { return p.err.Error() }
func (p *permanentError) Unwrap() error { return p.err }

func permanent(format string, args ...any) error {
	return &permanentError{fmt.Errorf(format, args...)}
}

func isPermanent(err error) bool {
	var p *permanentError
	return errors.As(err, &p)
}

// errUnanswered tells that a request was sent and nothing came back, so that
// the server may have acted on it.
var errUnanswered = errors.New("no answer")

// client speaks to one server. The zero roots trust nobody; see fetchCA.
type client struct {
	base   string
	http   *http.Client
	now    func() time.Time
	closer func()
}

// newClient returns a client of the server that tlsConfig verifies, behind
// whatever proxies.
func (c *Config) newClient(tlsConfig *tls.Config, now func() time.Time) *client {
	return c.clientVia(c.dialer(tlsConfig).DialContext, tlsConfig, now)
}

func (c *Config) dialer(tlsConfig *tls.Config) *pipe.Dialer {
	return pipe.New(pipe.Config{
		Server: hostPort(c.Server), TLS: func() (*tls.Config, error) { return tlsConfig, nil },
		Proxy: c.Proxy, ProxyRoots: c.ProxyRoots, NetDial: c.NetDial, Lookup: c.Lookup,
	}, slog.New(slog.DiscardHandler))
}

type dial func(ctx context.Context, network, addr string) (net.Conn, error)

func (c *Config) clientVia(dial dial, tlsConfig *tls.Config, now func() time.Time) *client {
	transport := &http.Transport{
		DialContext: dial, TLSClientConfig: tlsConfig,
		TLSHandshakeTimeout: requestTimeout, ResponseHeaderTimeout: requestTimeout,
		// Each exchange is rare and may use another identity.
		DisableKeepAlives: true,
	}
	return &client{
		base: strings.TrimSuffix(c.Server, "/"), now: now, closer: transport.CloseIdleConnections,
		http: &http.Client{
			Transport: transport, Timeout: requestTimeout,
			// A server never redirects, and a bearer must not follow.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// fetchCA gets the server's authority without trusting anybody, and returns it
// if its key has the pin. Nothing about this machine is sent. A proxy that ends
// TLS may forward the question or may forward nothing but the pipe.
func (c *Config) fetchCA(ctx context.Context, pin wire.Pin) (*x509.Certificate, error) {
	anybody := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true}
	dialer := c.dialer(anybody)
	ca, err := c.askCA(ctx, dialer.Connect, anybody, pin)
	var wrong *wrongAnswerError
	if !errors.As(err, &wrong) {
		return ca, err
	}
	if ca, again := c.askCA(ctx, dialer.Pipe, anybody, pin); again == nil {
		return ca, nil
	}
	return nil, err
}

// wrongAnswerError tells that somebody answered who is not the server that the
// token names.
type wrongAnswerError struct{ err error }

func (w *wrongAnswerError) Error() string { return w.err.Error() }
func (w *wrongAnswerError) Unwrap() error { return w.err }

func (c *Config) askCA(ctx context.Context, dial dial, anybody *tls.Config, pin wire.Pin) (*x509.Certificate, error) {
	client := c.clientVia(dial, anybody, c.Now)
	defer client.closer()
	body, err := client.get(ctx, wire.PathCACerts)
	if err != nil {
		return nil, err
	}
	certs, err := pki.ParseCerts(body)
	if err != nil {
		return nil, &wrongAnswerError{permanent("%s%s answers no certificates (%w): check that --server is a kedge server", client.base, wire.PathCACerts, err)}
	}
	for _, cert := range certs {
		if cert.IsCA && pki.PinOf(cert) == pin {
			return cert, nil
		}
	}
	return nil, &wrongAnswerError{permanent("the server at %s is not the one that made this token: its certificate authority has the key hash %s, the token says %s. Either --server or the token is of another cluster, or somebody sits in between. Nothing was sent. Make a token on that server with: kedge token create", client.base, pki.PinOf(certs[0]), pin)}
}

// get asks for something that anybody may know.
func (c *client) get(ctx context.Context, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path, nil)
	if err != nil {
		return nil, fmt.Errorf("ask %s%s: %w", c.base, path, err)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask %s%s: %w", c.base, path, err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, wire.MaxBody))
	if err != nil {
		return nil, fmt.Errorf("read the answer of %s%s: %w", c.base, path, err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, &wrongAnswerError{fmt.Errorf("%s%s answers %s: is it a kedge server that has started?", c.base, path, response.Status)}
	}
	return body, nil
}

// clockError tells that a certificate of the right authority has ended, as far
// as this machine knows the time.
func clockError(now time.Time) error {
	return fmt.Errorf("the server's certificate has ended, going by the time %s that this machine knows: check the clocks of both (timedatectl set-ntp true, or date -s)", now.UTC().Format(time.RFC3339))
}

func hasEnded(err error) bool {
	var invalid x509.CertificateInvalidError
	return errors.As(err, &invalid) && invalid.Reason == x509.Expired
}

// post sends a request and reads the certificates. Errors that wrap
// errUnanswered leave open whether the server has acted.
func (c *client) post(ctx context.Context, path, bearer string, request wire.JoinRequest) (*wire.JoinResponse, error) {
	body, err := json.Marshal(request)
	if err != nil {
		return nil, fmt.Errorf("encode request: %w", err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", c.base, err)
	}
	r.Header.Set("Content-Type", "application/json")
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	response, err := c.http.Do(r)
	if err != nil {
		return nil, c.explain(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, wire.MaxBody))
	if err != nil {
		return nil, fmt.Errorf("%w of %s: %w", errUnanswered, c.base, err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, c.refused(response, text)
	}
	var answer wire.JoinResponse
	if err := json.Unmarshal(text, &answer); err != nil {
		return nil, fmt.Errorf("%w of %s: %w", errUnanswered, c.base, err)
	}
	return &answer, nil
}

// explain tells failures of verification, which happen before anything is
// sent, from failures of the network.
func (c *client) explain(err error) error {
	var verification *tls.CertificateVerificationError
	if !errors.As(err, &verification) {
		return fmt.Errorf("%w of %s: %w", errUnanswered, c.base, err)
	}
	if hasEnded(verification.Err) {
		return clockError(c.now())
	}
	var status *transport.StatusError
	if errors.As(err, &status) && status.Code >= http.StatusInternalServerError {
		// A proxy whose server is away.
		return fmt.Errorf("%w of %s: %w", errUnanswered, c.base, err)
	}
	return permanent("the server at %s could not prove that it belongs to the cluster (%w): check --server; if its certificates were changed by hand, restart it; if a proxy in between ends TLS, let it forward websockets to %s", c.base, err, wire.PathPipe)
}

func (c *client) refused(response *http.Response, body []byte) error {
	var refusal wire.Refusal
	if err := json.Unmarshal(body, &refusal); err != nil || refusal.Code == "" || refusal.Message == "" {
		return fmt.Errorf("%s answers %s: is it a kedge server that has started?", c.base, response.Status)
	}
	if refusal.Temporary() {
		return &refusal
	}
	return &permanentError{fmt.Errorf("%s refuses: %w", c.base, &refusal)}
}
