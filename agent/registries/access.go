package registries

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// access gets one into a registry, by the way that the registry itself names:
// HTTP basic authentication, or a token for the repository from its token server
// (https://distribution.github.io/distribution/spec/auth/token/).
type access struct {
	client *http.Client
	// checkRealm refuses token servers that must not see who one is.
	checkRealm func(realm *url.URL, who Auth) error

	mu     sync.Mutex
	basic  bool             // the registry has asked for basic authentication
	tokens map[string]token // by who and repository
}

type token struct {
	word string
	ends time.Time
}

const (
	maxTokens = 256
	// defaultLife of a token that names none, by the specification; margin is when
	// one is taken for over.
	defaultLife = time.Minute
	margin      = 5 * time.Second
)

// fetch makes a request in the name of who, with what is known, and once more when
// the registry says how it wants to be asked.
func (u *upstream) fetch(r *http.Request, target, repository string, who Auth) (*http.Response, error) {
	key := who.word() + " " + repository
	resp, err := u.send(r, target, u.access.known(key, who))
	if err != nil || resp.StatusCode != http.StatusUnauthorized || !u.mayAsk(resp) {
		return resp, err
	}
	auth, err := u.access.answer(r.Context(), resp.Header.Values("WWW-Authenticate"), repository, key, who)
	if err != nil || auth == "" {
		if err != nil {
			_ = resp.Body.Close()
			return nil, err
		}
		return resp, nil
	}
	_ = resp.Body.Close()
	return u.send(r, target, auth)
}

// send makes one request. Redirects are followed here, because containerd does not
// know whom this host is to trust; the client shows no password to other hosts.
func (u *upstream) send(r *http.Request, target, auth string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(r.Context(), r.Method, target, nil)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"Accept", "Accept-Encoding", "Range", "User-Agent"} {
		if values := r.Header.Values(name); len(values) > 0 {
			req.Header[name] = values
		}
	}
	if auth != "" {
		req.Header.Set("Authorization", auth)
	}
	return u.client.Do(req)
}

// known is the header that worked before.
func (a *access) known(key string, who Auth) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if t, ok := a.tokens[key]; ok && time.Now().Before(t.ends) {
		return "Bearer " + t.word
	}
	if a.basic && who.Username != "" {
		return basic(who)
	}
	return ""
}

func basic(who Auth) string {
	r := http.Request{Header: http.Header{}}
	r.SetBasicAuth(who.Username, string(who.Password))
	return r.Header.Get("Authorization")
}

// answer does what a registry asks for. It is empty when nothing can be shown.
func (a *access) answer(ctx context.Context, challenges []string, repository, key string, who Auth) (string, error) {
	for _, c := range challenges {
		scheme, params := challenge(c)
		switch {
		case scheme == "basic" && who.Username != "":
			a.mu.Lock()
			a.basic = true
			a.mu.Unlock()
			return basic(who), nil
		case scheme == "bearer":
			t, err := a.exchange(ctx, params, repository, who)
			if errors.Is(err, errDenied) {
				return "", nil // as if the registry had said so
			}
			if err != nil {
				return "", err
			}
			a.keep(key, t)
			return "Bearer " + t.word, nil
		}
	}
	return "", nil
}

func (a *access) keep(key string, t token) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.tokens) >= maxTokens {
		clear(a.tokens)
	}
	a.tokens[key] = t
}

// errDenied is the answer of a token server that does not know one.
var errDenied = errors.New("denied")

// exchange gets a token.
func (a *access) exchange(ctx context.Context, params map[string]string, repository string, who Auth) (token, error) {
	realm, err := url.Parse(params["realm"])
	if err != nil || realm.Host == "" {
		return token{}, fmt.Errorf("names %q as its token server, which is no URL", params["realm"])
	}
	if err := a.checkRealm(realm, who); err != nil {
		return token{}, err
	}
	scope := params["scope"]
	if scope == "" {
		scope = "repository:" + repository + ":pull"
	}
	req, err := tokenRequest(ctx, realm, url.Values{"service": {params["service"]}, "scope": {scope}}, who)
	if err != nil {
		return token{}, err
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return token{}, fmt.Errorf("token server %s: %w", realm.Host, plainError(err))
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden:
		return token{}, errDenied
	case resp.StatusCode/100 != 2:
		return token{}, fmt.Errorf("token server %s answers %s", realm.Host, resp.Status)
	}
	return readToken(io.LimitReader(resp.Body, 1<<20))
}

// tokenRequest asks as the specification says: with a name by GET, with an identity
// token by POST.
func tokenRequest(ctx context.Context, realm *url.URL, form url.Values, who Auth) (*http.Request, error) {
	if who.IdentityToken != "" {
		form.Set("grant_type", "refresh_token")
		form.Set("refresh_token", string(who.IdentityToken))
		form.Set("client_id", "kedge")
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, realm.String(), strings.NewReader(form.Encode()))
		if err == nil {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		return req, err
	}
	u := *realm
	query := u.Query()
	for k, v := range form {
		query[k] = v
	}
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err == nil && who.Username != "" {
		req.SetBasicAuth(who.Username, string(who.Password))
	}
	return req, err
}

func readToken(r io.Reader) (token, error) {
	var t struct {
		Token       string `json:"token"`
		AccessToken string `json:"access_token"`
		ExpiresIn   int    `json:"expires_in"`
	}
	if err := json.NewDecoder(r).Decode(&t); err != nil {
		return token{}, fmt.Errorf("answer of the token server: %w", err)
	}
	if t.Token == "" {
		t.Token = t.AccessToken
	}
	if t.Token == "" {
		return token{}, errors.New("the token server answers without a token")
	}
	life := time.Duration(t.ExpiresIn) * time.Second
	if life <= 0 {
		life = defaultLife
	}
	return token{t.Token, time.Now().Add(max(life-margin, time.Second))}, nil
}
