package pipe

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

const (
	// maxProxyAnswer bounds the header of a proxy's answer, in bytes.
	maxProxyAnswer = 16 << 10
	// proxyTimeout bounds what a proxy may take for its own connection.
	proxyTimeout = 20 * time.Second
)

// ProxyError is the refusal of an HTTP proxy.
type ProxyError struct {
	// Proxy is its URL without a password, Target what was asked for.
	Proxy, Target string
	// Status is as in "407 Proxy Authentication Required".
	Status string
	Code   int
}

// Error implements error.
func (e *ProxyError) Error() string {
	text := fmt.Sprintf("proxy %s answers %.100q to CONNECT %s", e.Proxy, e.Status, e.Target)
	switch e.Code {
	case http.StatusProxyAuthRequired:
		return text + ": give its user and password as in HTTPS_PROXY=http://user:password@host:port"
	case http.StatusForbidden, http.StatusMethodNotAllowed:
		return text + ": have the proxy allow this host and port, or name the host in NO_PROXY if it can be reached directly"
	}
	return text
}

// connectThrough makes a connection to target by asking an HTTP proxy.
func (d *Dialer) connectThrough(ctx context.Context, proxy *url.URL, target string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, proxyTimeout)
	defer cancel()
	conn, err := d.dialProxy(ctx, proxy)
	if err != nil {
		return nil, fmt.Errorf("reach proxy %s: %w", proxy.Redacted(), err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	err = ask(conn, proxy, target)
	if !stop() && err == nil {
		err = ctx.Err() // the deadline may be set already, or be set after this
	}
	if err != nil {
		_ = conn.Close()
		if ctx.Err() != nil {
			return nil, fmt.Errorf("proxy %s did not answer CONNECT %s: %w", proxy.Redacted(), target, ctx.Err())
		}
		return nil, err
	}
	return conn, nil
}

func (d *Dialer) dialProxy(ctx context.Context, proxy *url.URL) (net.Conn, error) {
	port := proxy.Port()
	switch {
	case proxy.Scheme != "http" && proxy.Scheme != "https":
		return nil, fmt.Errorf("scheme %q is not supported: use http:// or https://", proxy.Scheme)
	case port == "" && proxy.Scheme == "https":
		port = "443"
	case port == "":
		port = "80"
	}
	conn, err := race(ctx, d.cfg.Lookup, d.cfg.NetDial, net.JoinHostPort(proxy.Hostname(), port))
	if err != nil || proxy.Scheme == "http" {
		return conn, err
	}
	// The proxy's own certificate is verified as any of the outside: its user
	// and password are sent to it.
	secure := tls.Client(conn, &tls.Config{ServerName: proxy.Hostname(), RootCAs: d.cfg.ProxyRoots, MinVersion: tls.VersionTLS12})
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return secure, nil
}

// ask sends CONNECT and reads the answer.
func ask(conn net.Conn, proxy *url.URL, target string) error {
	request := &http.Request{
		Method: http.MethodConnect, URL: &url.URL{Opaque: target}, Host: target,
		Header: http.Header{"User-Agent": {"kedge"}},
	}
	if user := proxy.User; user != nil {
		password, _ := user.Password()
		word := base64.StdEncoding.EncodeToString([]byte(user.Username() + ":" + password))
		request.Header.Set("Proxy-Authorization", "Basic "+word)
	}
	if err := request.Write(conn); err != nil {
		return fmt.Errorf("ask proxy %s: %w", proxy.Redacted(), err)
	}
	head, err := readHead(conn)
	if err != nil {
		return fmt.Errorf("read the answer of proxy %s: %w", proxy.Redacted(), err)
	}
	status, code, err := parseAnswer(head)
	if err != nil {
		return fmt.Errorf("read the answer of proxy %s: %w", proxy.Redacted(), err)
	}
	if code/100 != 2 {
		return &ProxyError{Proxy: proxy.Redacted(), Target: target, Status: status, Code: code}
	}
	return nil
}

// readHead reads up to the empty line that ends a header and not a byte more:
// what follows belongs to the connection inside.
func readHead(r io.Reader) ([]byte, error) {
	var head []byte
	one := make([]byte, 1)
	for len(head) < maxProxyAnswer {
		if _, err := io.ReadFull(r, one); err != nil {
			return nil, err
		}
		head = append(head, one[0])
		if bytes.HasSuffix(head, []byte("\r\n\r\n")) || bytes.HasSuffix(head, []byte("\n\n")) {
			return head, nil
		}
	}
	return nil, fmt.Errorf("its header is longer than %d bytes", maxProxyAnswer)
}

func parseAnswer(head []byte) (status string, code int, err error) {
	response, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(head)), &http.Request{Method: http.MethodConnect})
	if err != nil {
		return "", 0, err
	}
	_ = response.Body.Close()
	return response.Status, response.StatusCode, nil
}
