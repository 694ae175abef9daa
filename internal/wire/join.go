package wire

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"time"
)

// Paths of the supervisor on the server's listener.
const (
	// PathPrefix is below which everything belongs to the supervisor.
	PathPrefix = "/v1-kedge/"
	// PathCACerts answers the server's authorities as PEM to anyone, the one that
	// signs now first. There are two while one replaces the other.
	PathCACerts = "/cacerts"
	// PathPing answers 200 to anyone as soon as the listener serves.
	PathPing = PathPrefix + "ping"
	// PathJoin takes a [JoinRequest] with a token's bearer.
	PathJoin = PathPrefix + "join"
	// QueryAgain is a parameter of PathJoin: the machine must be the one that holds the
	// name already. Whoever belongs to a cluster asks so when its token names an
	// authority that it does not know: it may be that of another cluster.
	QueryAgain = "again"
	// PathRenew takes a [JoinRequest] with the node's client certificate.
	PathRenew = PathPrefix + "renew"
	// PathConnect is the websocket of the tunnel.
	PathConnect = PathPrefix + "connect"
	// PathPipe is a websocket whose bytes are one more connection to the
	// server's listener, for nodes behind a proxy that ends TLS.
	PathPipe = PathPrefix + "pipe"
	// PathInstall answers the install script to anyone.
	PathInstall = "/install.sh"
	// PathDist is below which the programs lie that the install script takes,
	// and their sums.
	PathDist = PathPrefix + "dist/"
)

const (
	// MaxBody is the largest body, in bytes, that either side reads.
	MaxBody = 64 << 10
	// MaxNodeIPs is how many addresses a node may ask into its serving
	// certificate.
	MaxNodeIPs = 16
	// MaxTrusts is how many authorities a node may say that it trusts.
	MaxTrusts = 8
	// ServerIdentity is the DNS name in every server's certificate. Agents
	// verify this name below the pinned CA, whatever address they dialled, so
	// that a new address or a port forward never breaks a node.
	ServerIdentity = "server.kedge.internal"
)

// The label of a node that publishes its addresses itself, and its only value.
const (
	LabelAddresses    = "node.kedge.io/addresses"
	AddressesDeclared = "declared"
)

// Annotations that a node's agent keeps on its own Node.
const (
	// AnnotationAddresses holds the node's addresses within its site, the one
	// of its default route first, separated by commas.
	AnnotationAddresses = "kedge.io/addresses"
	// AnnotationProbeKey holds the Ed25519 public key, in base64, by which nodes
	// of one site know each other when they look for a direct path.
	AnnotationProbeKey = "kedge.io/probe-key"
)

// AnnotationPublicAddress holds the addresses that the servers see a node come
// from, the latest first, separated by commas. Servers keep it on Node objects;
// nodes may not change it.
const AnnotationPublicAddress = "kedge.io/public-address"

// JoinRequest asks for a node's certificates. The server takes the public keys
// from the requests and nothing else: it decides every name itself.
type JoinRequest struct {
	// Node is the name that the machine wants to have.
	Node string `json:"node"`
	// NodeIPs are addresses for the kubelet's serving certificate.
	NodeIPs []netip.Addr `json:"nodeIPs,omitempty"`
	// DeviceKey is the machine's long-lived public key (PKIX, DER). The first
	// device that takes a node name keeps it.
	DeviceKey []byte `json:"deviceKey"`
	// Certificate signing requests (PKCS #10, DER).
	KubeletClient  []byte `json:"kubeletClient"`
	KubeletServing []byte `json:"kubeletServing"`
	KubeProxy      []byte `json:"kubeProxy"`
	Agent          []byte `json:"agent"`
	// Signature is the device key's ECDSA signature (ASN.1) over [JoinRequest.Digest].
	Signature []byte `json:"signature"`
	// Trusts are the pins of the server authorities that the node trusts as it
	// asks, in the form of [Pin.String]. While authorities are replaced it tells
	// the server who knows the new one. Nothing is granted by it, so it is not
	// part of the digest; nodes of the first version leave it out.
	Trusts []string `json:"trusts,omitempty"`
}

// JoinResponse carries what the server issued. Certificates are PEM. A node
// writes the authorities to disk before the certificates, so that whoever shows
// a certificate of a new authority also trusts it.
type JoinResponse struct {
	// ServerCA are the authorities that the node is to trust for its servers, the
	// one that signs now first. It is empty from servers of the first version: the
	// node keeps what it has.
	ServerCA []byte `json:"serverCA,omitempty"`
	// ClientCA are the authorities of the clients of kubelet, the one that signs
	// now first.
	ClientCA       []byte        `json:"clientCA"`
	KubeletClient  []byte        `json:"kubeletClient"`
	KubeletServing []byte        `json:"kubeletServing"`
	KubeProxy      []byte        `json:"kubeProxy"`
	Agent          []byte        `json:"agent"`
	Cluster        ClusterConfig `json:"cluster"`
	// Now is the server's time when it signed; zero from servers of the first
	// version.
	Now time.Time `json:"now,omitzero"`
}

// ClusterConfig is what every node must agree on with its servers.
type ClusterConfig struct {
	ClusterCIDRs      []netip.Prefix `json:"clusterCIDRs"`
	ServiceCIDRs      []netip.Prefix `json:"serviceCIDRs"`
	ClusterDNS        []netip.Addr   `json:"clusterDNS"`
	ClusterDomain     string         `json:"clusterDomain"`
	KubernetesVersion string         `json:"kubernetesVersion"`
}

// Code names a refusal, so that an agent can tell what retrying may mend.
type Code string

// The refusals of the supervisor. Only CodeNotReady and CodeBusy go away by waiting.
const (
	CodeBadRequest    Code = "bad-request"
	CodeTokenMissing  Code = "token-missing"
	CodeTokenFormat   Code = "token-malformed"
	CodeTokenUnknown  Code = "token-unknown"
	CodeTokenExpired  Code = "token-expired"
	CodeTokenUsedUp   Code = "token-used-up"
	CodeNodeNameTaken Code = "node-name-taken"
	CodeIdentity      Code = "identity-refused"
	CodeNotReady      Code = "not-ready"
	CodeBusy          Code = "busy"
	CodeInternal      Code = "internal"
)

// PathRenewNow is a path at the status socket of a node and at the link's status target; it
// makes a node renew its certificates at once (POST, no body).
const PathRenewNow = "/certificates/renew"

// Refusal is the body of every answer of the supervisor that is not 2xx. As an
// error it reads as its message, which names the remedy.
type Refusal struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
}

// Error implements error.
func (r *Refusal) Error() string { return r.Message }

// Temporary says whether asking again later may succeed.
func (r *Refusal) Temporary() bool {
	return r.Code == CodeNotReady || r.Code == CodeBusy || r.Code == CodeInternal
}

var nodeNamePattern = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)

// MaxNodeName is the longest node name. Kubernetes allows 253 characters, but
// a node's name is also the common name of its certificate with a prefix of up
// to 18, a label value (63) and part of other objects' names.
const MaxNodeName = 63

// CheckNodeName says why name cannot be a node's name, or nil. Names are
// RFC 1123 subdomains of at most [MaxNodeName] characters.
func CheckNodeName(name string) error {
	if len(name) > MaxNodeName || !nodeNamePattern.MatchString(name) {
		return fmt.Errorf("node name %.80q must be at most %d characters of a-z, 0-9, dash and dot that begin and end with a letter or digit: set --node-name", name, MaxNodeName)
	}
	return nil
}

// Check says what is missing or too much in the request, all problems joined.
// It does not look inside keys or signing requests.
func (r *JoinRequest) Check() error {
	var errs []error
	errs = append(errs, CheckNodeName(r.Node))
	if len(r.NodeIPs) > MaxNodeIPs {
		errs = append(errs, fmt.Errorf("%d node addresses are more than %d", len(r.NodeIPs), MaxNodeIPs))
	}
	for _, ip := range r.NodeIPs {
		if !ip.IsValid() || ip.IsUnspecified() || ip.Zone() != "" {
			errs = append(errs, fmt.Errorf("node address %q cannot be certified", ip))
		}
	}
	if len(r.Trusts) > MaxTrusts {
		errs = append(errs, fmt.Errorf("%d trusted authorities are more than %d", len(r.Trusts), MaxTrusts))
	}
	for _, part := range r.parts() {
		if len(part.data) == 0 {
			errs = append(errs, fmt.Errorf("%s is missing", part.name))
		}
	}
	if len(r.Signature) == 0 {
		errs = append(errs, errors.New("signature is missing"))
	}
	return errors.Join(errs...)
}

type part struct {
	name string
	data []byte
}

func (r *JoinRequest) parts() []part {
	return []part{
		{"deviceKey", r.DeviceKey}, {"kubeletClient", r.KubeletClient},
		{"kubeletServing", r.KubeletServing}, {"kubeProxy", r.KubeProxy}, {"agent", r.Agent},
	}
}

// Digest returns the SHA-256 that the device key signs. It binds the request
// to one cluster by the pin of a server CA that both know, so that a signature that one
// cluster saw is worth nothing at another. Every field is preceded by its
// length: no two requests share an encoding.
func (r *JoinRequest) Digest(server Pin) [sha256.Size]byte {
	h := sha256.New()
	add := func(data []byte) {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(data)))
		h.Write(length[:])
		h.Write(data)
	}
	add([]byte("kedge join v1"))
	add(server[:])
	add([]byte(r.Node))
	for _, ip := range r.NodeIPs {
		add([]byte(ip.String()))
	}
	for _, part := range r.parts() {
		add([]byte(part.name))
		add(part.data)
	}
	return [sha256.Size]byte(h.Sum(nil))
}
