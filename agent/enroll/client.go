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
	// date is what the server's clock showed, for messages.
	date string
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
// if its key has the pin, with what the server's clock shows. Nothing about this
// machine is sent. A proxy that ends TLS may forward the question or may forward
// nothing but the pipe.
func (c *Config) fetchCA(ctx context.Context, pin wire.Pin, now func() time.Time) (ca *x509.Certificate, date string, err error) {
	anybody := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true}
	dialer := c.dialer(anybody)
	ca, date, err = c.askCA(ctx, dialer.Connect, anybody, pin, now)
	var wrong *wrongAnswerError
	if !errors.As(err, &wrong) {
		return ca, date, err
	}
	if ca, date, again := c.askCA(ctx, dialer.Pipe, anybody, pin, now); again == nil {
		return ca, date, nil
	}
	return nil, "", err
}

// wrongAnswerError tells that somebody answered who is not the server that the
// token names.
type wrongAnswerError struct{ err error }

func (w *wrongAnswerError) Error() string { return w.err.Error() }
func (w *wrongAnswerError) Unwrap() error { return w.err }

func (c *Config) askCA(ctx context.Context, dial dial, anybody *tls.Config, pin wire.Pin, now func() time.Time) (ca *x509.Certificate, date string, err error) {
	client := c.clientVia(dial, anybody, now)
	defer client.closer()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, client.base+wire.PathCACerts, nil)
	if err != nil {
		return nil, "", fmt.Errorf("ask for the server's CA: %w", err)
	}
	response, err := client.http.Do(request)
	if err != nil {
		return nil, "", fmt.Errorf("ask for the server's CA: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, wire.MaxBody))
	if err != nil {
		return nil, "", fmt.Errorf("read the server's CA: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, "", &wrongAnswerError{fmt.Errorf("%s%s answers %s: is it a kedge server that has started?", client.base, wire.PathCACerts, response.Status)}
	}
	certs, err := pki.ParseCerts(body)
	if err != nil {
		return nil, "", &wrongAnswerError{permanent("%s%s answers no certificates (%w): check that --server is a kedge server", client.base, wire.PathCACerts, err)}
	}
	for _, cert := range certs {
		if cert.IsCA && pki.PinOf(cert) == pin {
			date := response.Header.Get("Date")
			return cert, date, checkDate(client.now(), date, cert)
		}
	}
	return nil, "", &wrongAnswerError{permanent("the server at %s is not the one that made this token: its certificate authority has the key hash %s, the token says %s. Either --server or the token is of another cluster, or somebody sits in between. Nothing was sent. Make a token on that server with: kedge token create", client.base, pki.PinOf(certs[0]), pin)}
}

// checkDate finds a wrong clock while it can still be told apart from a wrong
// certificate. The server's time is shown, never believed.
func checkDate(now time.Time, date string, ca *x509.Certificate) error {
	if !now.Before(ca.NotBefore) && now.Before(ca.NotAfter) {
		return nil
	}
	return clockError(now, date)
}

func clockError(now time.Time, date string) error {
	if date == "" {
		date = "an unknown time"
	}
	return permanent("this machine's clock shows %s and the server's %s, so certificates look not yet valid or expired: set the clock (timedatectl set-ntp true, or date -s) and start again", now.UTC().Format(time.RFC3339), date)
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
	var invalid x509.CertificateInvalidError
	if errors.As(verification.Err, &invalid) && invalid.Reason == x509.Expired {
		return clockError(c.now(), c.date)
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
