package join

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// protocolPrefix is before a token among the protocols of a websocket
// (k8s.io/apiserver/pkg/authentication/request/websocket).
const protocolPrefix = "base64url.bearer.authorization.k8s.io."

// podToken is what a token of a service account says about its pod. Nobody has
// verified it: it can only lose by what it says.
type podToken struct {
	node   string
	issued time.Time
}

// bearers returns every token that the API would take from a request, read in the
// same way: whatever it accepts and this does not would be a way around.
func bearers(r *http.Request) (tokens []string) {
	words := strings.SplitN(strings.TrimSpace(r.Header.Get("Authorization")), " ", 3)
	if len(words) > 1 && strings.EqualFold(words[0], "bearer") {
		tokens = append(tokens, words[1])
	}
	for _, header := range r.Header.Values("Sec-WebSocket-Protocol") {
		for protocol := range strings.SplitSeq(header, ",") {
			encoded, ok := strings.CutPrefix(strings.TrimSpace(protocol), protocolPrefix)
			if !ok {
				continue
			}
			if token, err := base64.RawURLEncoding.DecodeString(encoded); err == nil {
				tokens = append(tokens, string(token))
			}
		}
	}
	return tokens
}

// parsePodToken reads a token as the API does before it looks for the issuer. It
// returns false for tokens that belong to no pod on a node.
func parsePodToken(token string) (podToken, bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return podToken{}, false
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return podToken{}, false
	}
	var claims struct {
		Issued     float64 `json:"iat"`
		Kubernetes struct {
			Node struct {
				Name string `json:"name"`
			} `json:"node"`
		} `json:"kubernetes.io"`
	}
	if json.Unmarshal(text, &claims) != nil || claims.Kubernetes.Node.Name == "" {
		return podToken{}, false
	}
	return podToken{node: claims.Kubernetes.Node.Name, issued: time.Unix(int64(claims.Issued), 0)}, true
}
