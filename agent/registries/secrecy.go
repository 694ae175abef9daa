package registries

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
)

// maxRedirects is what net/http allows where nothing else is said.
const maxRedirects = 10

// follow lets the client go where a redirect leads, but for one thing: what proves
// who one is does not leave encryption. net/http drops passwords for other hosts
// only; and a token server's redirect of a POST takes the identity token along.
func follow(next *http.Request, former []*http.Request) error {
	if len(former) >= maxRedirects {
		return errors.New("redirects without end")
	}
	secret := next.Header.Get("Authorization") != "" || next.Method == http.MethodPost
	for _, r := range former {
		if secret && r.URL.Scheme == "https" && next.URL.Scheme != "https" {
			return fmt.Errorf("redirects from https to %s://%s, where the password would be readable on the way: let it redirect to https", next.URL.Scheme, next.URL.Host)
		}
	}
	return nil
}

// mayAsk says whether the password may be shown as resp asks for it. It may not
// where somebody else than the registry asks, which redirected to them.
func (u *upstream) mayAsk(resp *http.Response) bool {
	at := resp.Request.URL
	return at.Hostname() == u.upstream.Hostname() && (at.Scheme == "https" || at.Scheme == u.upstream.Scheme)
}

// checkRealm says why a token server must not be shown who one is. Where a person
// believes any certificate, the password is no secret on the way to begin with.
func (u *upstream) checkRealm(realm *url.URL, who Auth) error {
	if who.Empty() || realm.Scheme == "https" || u.upstream.Scheme != "https" || u.host.TLS.Insecure {
		return nil
	}
	return fmt.Errorf("speaks https and names %s://%s as its token server, where the password would be readable on the way: let it name an https address", realm.Scheme, realm.Host)
}
