package sources

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/kedge-io/kedge/api/edge/v1alpha1"
)

// Bounds of one fetch.
const (
	fetchTimeout = 30 * time.Second
	maxRedirects = 5
)

// fetched is the answer to one fetch.
type fetched struct {
	// unchanged tells that the list is as before; body is empty then.
	unchanged      bool
	body           []byte
	etag, modified string
}

// fetcher fetches one list. It must be closed.
type fetcher struct {
	url       string
	userAgent string
	http      *http.Client
}

func newFetcher(list *v1alpha1.AddressList, userAgent string, proxy func(*http.Request) (*url.URL, error)) (*fetcher, error) {
	trust := &tls.Config{MinVersion: tls.VersionTLS12}
	if list.CABundle != "" {
		trust.RootCAs = x509.NewCertPool()
		if !trust.RootCAs.AppendCertsFromPEM([]byte(list.CABundle)) {
			return nil, errors.New("spec.list.caBundle holds no certificate that can be read: write PEM")
		}
	}
	u, err := url.Parse(list.URL)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("spec.list.url: %q is no https address", list.URL)
	}
	return &fetcher{url: list.URL, userAgent: userAgent, http: &http.Client{
		Timeout: fetchTimeout,
		Transport: &http.Transport{
			Proxy: proxy, TLSClientConfig: trust, ForceAttemptHTTP2: true, DisableKeepAlives: true,
			DialContext:            (&net.Dialer{Timeout: fetchTimeout / 3}).DialContext,
			MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if r.URL.Scheme != "https" {
				return fmt.Errorf("it redirects to %s, which is not https", r.URL.Redacted())
			}
			if len(via) > maxRedirects {
				return fmt.Errorf("it redirects more than %d times", maxRedirects)
			}
			return nil
		},
	}}, nil
}

func (f *fetcher) close() { f.http.CloseIdleConnections() }

// fetch asks for the list, or with what an earlier answer said of it for a newer
// one.
func (f *fetcher) fetch(ctx context.Context, etag, modified string) (fetched, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.url, nil)
	if err != nil {
		return fetched{}, fmt.Errorf("fetch the list: %w", err)
	}
	req.Header.Set("User-Agent", f.userAgent)
	req.Header.Set("Accept", "text/plain, */*;q=0.5")
	if etag != "" {
		req.Header.Set("If-None-Match", etag)
	}
	if modified != "" {
		req.Header.Set("If-Modified-Since", modified)
	}
	resp, err := f.http.Do(req)
	if err != nil {
		return fetched{}, fmt.Errorf("fetch the list: %w", err)
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusNotModified:
		return fetched{unchanged: true}, nil
	case http.StatusOK:
	default:
		return fetched{}, fmt.Errorf("fetch the list: %s answers %s", req.URL.Host, resp.Status)
	}
	if resp.ContentLength > v1alpha1.MaxListBytes {
		return fetched{}, fmt.Errorf("the list has %d MiB, at most %d: take comments out, or use several sets", resp.ContentLength>>20, v1alpha1.MaxListBytes>>20)
	}
	body, err := bounded(resp.Body)
	if err == nil {
		body, err = unpacked(body)
	}
	return fetched{body: body, etag: resp.Header.Get("Etag"), modified: resp.Header.Get("Last-Modified")}, err
}
