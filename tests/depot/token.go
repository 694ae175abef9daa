package depot

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"strings"
	"time"
)

const (
	issuer  = "depot-tokens"
	service = "depot"
)

// WithTokens makes the registry ask for tokens of the server at realm, a URL whose
// handler is [Depot.Tokens], in place of a password.
func (d *Depot) WithTokens(realm string) {
	config, _, _ := strings.Cut(string(d.Files["config.yml"]), "auth:\n")
	d.Files["config.yml"] = fmt.Appendf(nil, "%sauth:\n  token: {realm: %q, service: %s, issuer: %s, rootcertbundle: %s/tls.crt}\n", config, realm, service, issuer, d.Dir)
}

// Tokens is the token server of a depot: whoever comes with [User] and [Password]
// may do all that is asked for, others get nothing
// (https://distribution.github.io/distribution/spec/auth/token/).
func (d *Depot) Tokens(w http.ResponseWriter, r *http.Request) {
	if name, password, _ := r.BasicAuth(); name != User || password != Password {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	token, err := d.sign(r.FormValue("scope"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"token": token, "expires_in": 300})
}

// sign makes a JSON Web Token (RFC 7519) with ES256.
func (d *Depot) sign(scope string) (string, error) {
	cert, _ := pem.Decode(d.Files["tls.crt"])
	secret, _ := pem.Decode(d.Files["tls.key"])
	parsed, err := x509.ParsePKCS8PrivateKey(secret.Bytes)
	if err != nil {
		return "", err
	}
	access := []map[string]any{}
	if part := strings.Split(scope, ":"); len(part) == 3 {
		access = append(access, map[string]any{"type": part[0], "name": part[1], "actions": strings.Split(part[2], ",")})
	}
	now := time.Now().Unix()
	head, body := encode(map[string]any{"typ": "JWT", "alg": "ES256", "x5c": []string{base64.StdEncoding.EncodeToString(cert.Bytes)}}),
		encode(map[string]any{"iss": issuer, "sub": User, "aud": service, "iat": now, "nbf": now - 60, "exp": now + 300, "access": access})
	hash := sha256.Sum256([]byte(head + "." + body))
	a, b, err := ecdsa.Sign(rand.Reader, parsed.(*ecdsa.PrivateKey), hash[:])
	if err != nil {
		return "", err
	}
	var signature [64]byte
	a.FillBytes(signature[:32])
	b.FillBytes(signature[32:])
	return head + "." + body + "." + base64.RawURLEncoding.EncodeToString(signature[:]), nil
}

func encode(v any) string {
	text, _ := json.Marshal(v) // strings and numbers
	return base64.RawURLEncoding.EncodeToString(text)
}
