package preflight

import (
	"crypto/x509"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/kedge-io/kedge/internal/clusternet"
	"github.com/kedge-io/kedge/internal/paths"
)

// Config says what is to be started here.
type Config struct {
	// Server tells that it is a server, Node that it is a node; a server usually is
	// both.
	Server, Node bool
	Layout       paths.Layout
	NodeName     string
	// Address is the host's address as the daemon would find it; AddressError why
	// there is none.
	Address      netip.Addr
	AddressError error
	// Plan are the cluster's ranges, PlanError what is wrong with them. Assumed
	// tells that they are the defaults because only the server knows.
	Plan      clusternet.Plan
	PlanError error
	Assumed   bool
	// Bind and Port are where a server listens.
	Bind netip.Addr
	Port int
	// URL is the server to join, Token the join token as it was given, CA the
	// authority of the server that the node has joined; the last two may be empty.
	URL   string
	Token string
	// TokenError is why there is no token although a place for it was named.
	TokenError error
	CA         []*x509.Certificate
	// Joined tells that the node has joined and needs no token.
	Joined bool
	// Proxy chooses an HTTP proxy as in [http.Transport]; nil for none.
	Proxy func(*http.Request) (*url.URL, error)
	// ResolvConf is the file of resolvers; "" for the usual one.
	ResolvConf string
	// CgroupRoot is where pods' cgroups are made, "/" for the root.
	CgroupRoot string
	// Built is the date of this program; zero when it has none.
	Built time.Time
	// Needs is how many bytes a start writes to the data directory.
	Needs int64
	// Running tells that the daemon of this data directory runs: ports and links
	// that it has are no trouble.
	Running bool
}

// The TCP ports on 127.0.0.1 that parts of a node listen on, and whose they are.
// Each is fixed: kubelet and kube-proxy end with an error without theirs.
var nodePorts = []port{
	{6444, "the node's own way to the API"},
	{10248, "kubelet's health"},
	{10249, "kube-proxy's figures"},
	{10250, "kubelet"},
	{10256, "kube-proxy's health"},
}

type port struct {
	number int
	part   string
}
