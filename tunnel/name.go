package tunnel

import (
	"errors"
	"fmt"
	"strings"
)

// ConnectPath is where a server accepts the websocket of a node (HTTP/1.1, GET).
const ConnectPath = "/v1-kedge/connect"

// UserPrefix and Group are the common name prefix and the organization of a
// node's client certificate, as the Kubernetes node authorizer wants them.
const (
	UserPrefix = "system:node:"
	Group      = "system:nodes"
)

// NodeName is the name of a node: a DNS subdomain of at most 253 characters.
type NodeName string

// ParseNodeName checks that s is a DNS subdomain (RFC 1123) in lower case.
func ParseNodeName(s string) (NodeName, error) {
	if s == "" {
		return "", errors.New("node name is empty")
	}
	if len(s) > 253 {
		return "", fmt.Errorf("node name %.20q... has %d characters, at most 253 are allowed", s, len(s))
	}
	for label := range strings.SplitSeq(s, ".") {
		if !validLabel(label) {
			return "", fmt.Errorf("node name %q is not a DNS name of lower-case letters, digits, dashes and dots", s)
		}
	}
	return NodeName(s), nil
}

func validLabel(label string) bool {
	if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
		return false
	}
	for _, c := range []byte(label) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}
