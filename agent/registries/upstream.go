package registries

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

const (
	dialLimit = 10 * time.Second // as dialTimeout
	// answerLimit is for all until an answer begins, the token server's part too.
	// containerd gives up after 30 s, with an error that names the proxy only.
	answerLimit = 25 * time.Second
	// pingAfter and pingLimit end a connection on which nothing comes any more, as
	// after a change of the uplink. Many requests share one by HTTP/2, and each would
	// wait on it in vain; a download would hang until kubelet ends it.
	pingAfter, pingLimit = 15 * time.Second, 10 * time.Second
)

// upstream is one route in use: a registry and how to talk to it.
type upstream struct {
	route
	transport *http.Transport
	client    *http.Client
	access    access
	limit     time.Duration
}

// errSlow is about a registry that takes connections and says nothing.
var errSlow = errors.New("no answer in time")

// newUpstream reads the certificates that r names.
func newUpstream(r route) (*upstream, error) {
	conf, err := r.host.TLS.config()
	if err != nil {
		return nil, err
	}
	t := &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: conf, ForceAttemptHTTP2: true,
		DialContext:         (&net.Dialer{Timeout: dialLimit, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout: dialLimit,
		HTTP2:               &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingLimit},
		MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute,
		DisableCompression: true, // containerd says what it takes
	}
	u := &upstream{route: r, transport: t, client: &http.Client{Transport: t, CheckRedirect: follow}, limit: answerLimit}
	u.access = access{client: u.client, checkRealm: u.checkRealm, tokens: map[string]token{}}
	return u, nil
}

// config reads the files of t.
func (t TLS) config() (*tls.Config, error) {
	c := &tls.Config{InsecureSkipVerify: t.Insecure, MinVersion: tls.VersionTLS12} //nolint:gosec // only where a person asked for it
	if t.CAFile != "" {
		text, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, err
		}
		if c.RootCAs, err = x509.SystemCertPool(); err != nil {
			c.RootCAs = x509.NewCertPool()
		}
		if !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s holds no certificate in PEM", t.CAFile)
		}
	}
	if t.CertFile == "" {
		return c, nil
	}
	key := t.KeyFile
	if key == "" {
		key = t.CertFile
	}
	pair, err := tls.LoadX509KeyPair(t.CertFile, key)
	if err != nil {
		return nil, fmt.Errorf("client certificate %s with key %s: %w", t.CertFile, key, err)
	}
	c.Certificates = []tls.Certificate{pair}
	return c, nil
}

// passed are the headers of an answer that containerd reads.
var passed = []string{
	"Accept-Ranges", "Content-Encoding", "Content-Length", "Content-Range", "Content-Type", "Docker-Content-Digest",
	"Docker-Distribution-Api-Version", "ETag", "Last-Modified", "Retry-After",
}

// pass sends a request on and its answer back. path is that below /v2.
func (u *upstream) pass(w http.ResponseWriter, r *http.Request, path string, pod Auth) {
	repository, rest := split(path)
	repository = u.rewrite(repository)
	target := *u.upstream
	target.Path += "/" + repository + rest
	if query := r.URL.Query(); !u.own {
		target.RawQuery = query.Encode() // ns tells a mirror for whom it stands in
	}
	who := u.who(pod)
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	late := time.AfterFunc(u.limit, func() { cancel(errSlow) })
	resp, err := u.fetch(r.WithContext(ctx), target.String(), repository, who)
	late.Stop()
	if err != nil {
		if r.Context().Err() == nil {
			if cause := context.Cause(ctx); cause != nil {
				err = cause
			}
			refuse(w, r, http.StatusBadGateway, u.name()+": "+plainError(err).Error())
		}
		return
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden {
		refuse(w, r, resp.StatusCode, u.denied(repository, resp.StatusCode, pod, who))
		return
	}
	for _, name := range passed {
		if v := resp.Header.Get(name); v != "" {
			w.Header().Set(name, v)
		}
	}
	w.WriteHeader(resp.StatusCode)
	if _, err := io.Copy(w, resp.Body); err != nil {
		// The rest must not look like the end.
		panic(http.ErrAbortHandler)
	}
}

// who says whose password is shown: at the image's own registry the pod's if it
// has one, at a mirror with a password that one. A pod's password for one registry
// is not shown to another that has its own.
func (u *upstream) who(pod Auth) Auth {
	set := u.host.Auth
	if pod.Empty() || !u.own && !set.Empty() {
		return set
	}
	return pod
}

// name is how errors call u.
func (u *upstream) name() string {
	if u.own {
		return "registry " + u.upstream.Host
	}
	return "mirror " + u.upstream.Host
}

func (u *upstream) denied(repository string, status int, pod, who Auth) string {
	whose := "the password of registries.yaml"
	switch {
	case who.Empty():
		return fmt.Sprintf("%s gives %s to nobody without a password: set one in registries.yaml or by imagePullSecrets", u.name(), repository)
	case who == pod:
		whose = "the password of imagePullSecrets"
	}
	if status == http.StatusForbidden {
		return fmt.Sprintf("%s knows %s (user %s) but does not let it read %s", u.name(), whose, who.Username, repository)
	}
	return fmt.Sprintf("%s does not accept %s (user %s) for %s", u.name(), whose, who.Username, repository)
}

// rewrite changes the name of a repository by the first rule that matches.
func (r route) rewrite(repository string) string {
	for _, rw := range r.rewrites {
		if rw.Match.MatchString(repository) {
			return rw.Match.ReplaceAllString(repository, rw.Replace)
		}
	}
	return repository
}

// split cuts the path of a request into the repository and what is wanted of it.
func split(path string) (repository, rest string) {
	path = strings.TrimPrefix(path, "/")
	for _, word := range []string{"/manifests/", "/blobs/", "/referrers/", "/tags/"} {
		if i := strings.LastIndex(path, word); i > 0 {
			return path[:i], path[i:]
		}
	}
	return path, ""
}

// plainError leaves out the URL of an HTTP client's error, which names the
// registry again.
func plainError(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
