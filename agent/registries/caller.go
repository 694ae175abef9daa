package registries

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// tokenLife is how long containerd keeps the answer of [proxy.token]; it asks again
// within a pull that takes longer.
const tokenLife = time.Hour

// token answers containerd as a token server would, so that it hands over the
// password of the pod, which it keeps for itself otherwise. What it gets is that
// password in another form, for the same connection on loopback: the proxy has
// nothing to remember. A pod without a password gets a token that says so, because
// only then may those of registries.yaml be shown.
func (p *proxy) token(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	var who Auth
	switch name, password, basic := r.BasicAuth(); {
	case basic:
		who = Auth{Username: name, Password: Secret(password)}
	case r.Method == http.MethodPost && r.PostFormValue("grant_type") == "refresh_token":
		who = Auth{IdentityToken: Secret(r.PostFormValue("refresh_token"))}
	case r.Method == http.MethodPost:
		who = Auth{Username: r.PostFormValue("username"), Password: Secret(r.PostFormValue("password"))}
	}
	w.Header().Set("Content-Type", "application/json")
	word := who.word()
	_ = json.NewEncoder(w).Encode(map[string]any{"token": word, "access_token": word, "expires_in": int(tokenLife.Seconds())})
}

// word is a as a bearer token.
func (a Auth) word() string {
	fields, _ := json.Marshal([]string{a.Username, string(a.Password), string(a.IdentityToken)}) // strings always do
	return base64.RawURLEncoding.EncodeToString(fields)
}

// caller is whose password comes with a request; its zero value is that of no pod.
func caller(r *http.Request) (who Auth, known bool) {
	word, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return Auth{}, false
	}
	plain, err := base64.RawURLEncoding.DecodeString(word)
	var fields []string
	if err != nil || json.Unmarshal(plain, &fields) != nil || len(fields) != 3 {
		return Auth{}, false
	}
	return Auth{Username: fields[0], Password: Secret(fields[1]), IdentityToken: Secret(fields[2])}, true
}
