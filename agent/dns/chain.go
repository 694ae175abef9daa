package dns

import (
	"context"
	"fmt"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/plugin"
	_ "github.com/coredns/coredns/plugin/cache" // made by name in configured
	"github.com/coredns/coredns/plugin/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kedge-io/kedge/internal/kubeclient"
)

// kubernetesStanza answers for the cluster's domain and for the reverse names
// of services and pods. Answers come from memory, so that a short time to live
// costs little.
func kubernetesStanza(domain string) string {
	return "kubernetes " + domain + ` in-addr.arpa ip6.arpa {
 pods insecure
 fallthrough in-addr.arpa ip6.arpa
 ttl 5
}
`
}

// cacheStanza keeps names of the outside for at most 30 s, and for an hour
// longer while no resolver answers.
const cacheStanza = `cache 30 {
 success 4096
 denial 1024
 serve_stale 1h verify 1s
}
`

// configured makes a plugin from its configuration text, with the plugin's own
// parser and outside of a running caddy instance.
func configured(directive, text string, next plugin.Handler) (plugin.Handler, error) {
	setup, err := caddy.DirectiveAction("dns", directive)
	if err != nil {
		return nil, fmt.Errorf("looking for DNS plugin %s: %w", directive, err)
	}
	c := controller(text)
	if err := setup(c); err != nil {
		return nil, fmt.Errorf("setting up DNS plugin %s: %w", directive, err)
	}
	plugins := dnsserver.GetConfig(c).Plugin
	if len(plugins) != 1 {
		return nil, fmt.Errorf("setting up DNS plugin %s: got %d handlers, want 1", directive, len(plugins))
	}
	return plugins[0](next), nil
}

// controller is a caddy controller of its own. The constructor's name speaks
// of tests; it is the exported one that needs no instance.
func controller(text string) *caddy.Controller {
	c := caddy.NewTestController("dns", text)
	c.ServerBlockKeys = []string{"."}
	return c
}

// newKubernetes makes the kubernetes plugin without its setup function, which
// would take over klog.
func newKubernetes(ctx context.Context, domain string, client *rest.Config, next plugin.Handler) (*kubernetes.Kubernetes, error) {
	c := controller(kubernetesStanza(domain))
	c.Next()
	k, err := kubernetes.ParseStanza(c)
	if err != nil {
		return nil, fmt.Errorf("setting up DNS plugin kubernetes: %w", err)
	}
	k.ClientConfig = fixedClient{rest: selecting(client, selectHeadless)}
	k.Next = next
	// The start function would wait and log; readiness is found out by asking.
	if _, _, err := k.InitKubeCache(ctx); err != nil {
		return nil, fmt.Errorf("setting up DNS plugin kubernetes: %w", err)
	}
	all, err := newWithForeign(k.APIConn, client)
	if err != nil {
		return nil, err
	}
	k.APIConn = all
	return k, nil
}

// fixedClient hands a ready client configuration to the plugin.
type fixedClient struct {
	unused
	rest *rest.Config
}

type unused = clientcmd.ClientConfig

func (f fixedClient) ClientConfig() (*rest.Config, error) { return f.rest, nil }

func clientFrom(kubeconfig string) (*rest.Config, error) {
	config, err := kubeclient.FromFile(kubeconfig, "kedge-"+Name)
	if err != nil {
		return nil, fmt.Errorf("client of the cluster DNS: %w", err)
	}
	return config, nil
}
