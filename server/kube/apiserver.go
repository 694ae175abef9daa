package kube

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
	"k8s.io/kubernetes/cmd/kube-apiserver/app/options"

	"github.com/kedge-io/kedge/internal/kubeglobals"
	"github.com/kedge-io/kedge/internal/lifecycle"
)

// shutdownTimeout bounds how long the API server waits for open connections.
// Watches of nodes stay open until then, and a stop has 15 s in all.
const shutdownTimeout = 2 * time.Second

// newAPIServer returns the API server, which is ready when /readyz says so and
// the supervisor may ask it.
func newAPIServer(cfg Config, needs []string) lifecycle.Component {
	return lifecycle.Component{
		Name:  APIServer,
		Needs: needs,
		Run: func(ctx context.Context, ready func()) error {
			var g gate
			server, err := buildAPIServer(ctx, cfg, &g)
			if err != nil {
				return err
			}
			go announceWhen(ctx, cfg, apiIsReady, func() {
				g.open.Store(true)
				ready()
			})
			if err := server(ctx); err != nil {
				return fmt.Errorf("serve the kubernetes API: %w", err)
			}
			return ctx.Err()
		},
	}
}

// buildAPIServer assembles the chain of servers that upstream's command would
// build, with our handler in front and our dialler to the nodes.
func buildAPIServer(ctx context.Context, cfg Config, g *gate) (func(context.Context) error, error) {
	if err := kubeglobals.Init(); err != nil {
		return nil, err
	}
	opts := options.NewServerRunOptions()
	fs := pflag.NewFlagSet(APIServer, pflag.ContinueOnError)
	for _, set := range opts.Flags().FlagSets {
		fs.AddFlagSet(set)
	}
	args := kubeglobals.Args(apiServerDefaults(cfg), cfg.APIServerArgs)
	if err := kubeglobals.Parse(fs, args, "--kube-apiserver-arg"); err != nil {
		return nil, err
	}
	opts.SecureServing.Listener = cfg.Listener

	completed, err := opts.Complete(ctx)
	if err != nil {
		return nil, fmt.Errorf("complete the API server's options: %w", err)
	}
	if errs := completed.Validate(); len(errs) > 0 {
		return nil, fmt.Errorf("options of the API server: %w", errors.Join(errs...))
	}
	config, err := assemble(completed, cfg)
	if err != nil {
		return nil, fmt.Errorf("configure the API server: %w", err)
	}
	putInFront(config, g.wrap)
	putInFront(config, cfg.Front)

	complete, err := config.Complete()
	if err != nil {
		return nil, fmt.Errorf("complete the API server: %w", err)
	}
	chain, err := app.CreateServerChain(complete)
	if err != nil {
		return nil, fmt.Errorf("build the API server: %w", err)
	}
	if err := installAPIs(chain, cfg.APIs); err != nil {
		return nil, err
	}
	chain.GenericAPIServer.ShutdownTimeout = shutdownTimeout
	prepared, err := chain.PrepareRun()
	if err != nil {
		return nil, fmt.Errorf("prepare the API server: %w", err)
	}
	return prepared.Run, nil
}

// putInFront lets our handler see requests before upstream's filters. The
// aggregator is the outermost server, so its chain is the one that counts.
func putInFront(config *app.Config, front func(http.Handler) http.Handler) {
	if front == nil {
		return
	}
	generic := &config.Aggregator.GenericConfig.Config
	build := generic.BuildHandlerChainFunc
	generic.BuildHandlerChainFunc = func(api http.Handler, c *genericapiserver.Config) http.Handler {
		return front(build(api, c))
	}
}

func apiServerDefaults(cfg Config) map[string]string {
	f := cfg.Certs
	issuer := "https://kubernetes.default.svc." + cfg.ClusterDomain
	flags := map[string]string{
		"advertise-address":                  cfg.AdvertiseAddress.String(),
		"allow-privileged":                   "true",
		"anonymous-auth":                     "false",
		"api-audiences":                      issuer + ",kedge",
		"authorization-mode":                 "Node,RBAC",
		"client-ca-file":                     f.ClientTrust,
		"enable-admission-plugins":           "NodeRestriction",
		"enable-aggregator-routing":          "true",
		"encryption-provider-config":         f.EncryptionConfig,
		"etcd-compaction-interval":           "0s",           // the datastore compacts on its own schedule
		"endpoint-reconciler-type":           "master-count", // the lease reconciler writes every 10 s for nobody
		"etcd-servers":                       strings.Join(cfg.Datastore, ","),
		"kubelet-certificate-authority":      f.KubeletTrust,
		"kubelet-client-certificate":         f.KubeletClient.Cert,
		"kubelet-client-key":                 f.KubeletClient.Key,
		"kubelet-preferred-address-types":    "Hostname",
		"profiling":                          "false",
		"proxy-client-cert-file":             f.AuthProxy.Cert,
		"proxy-client-key-file":              f.AuthProxy.Key,
		"requestheader-allowed-names":        "system:auth-proxy",
		"requestheader-client-ca-file":       f.RequestHeaderTrust,
		"requestheader-extra-headers-prefix": "X-Remote-Extra-",
		"requestheader-group-headers":        "X-Remote-Group",
		"requestheader-username-headers":     "X-Remote-User",
		"service-account-issuer":             issuer,
		"service-account-key-file":           f.ServiceKey,
		"service-account-signing-key-file":   f.ServiceKey,
		"service-cluster-ip-range":           cfg.ServiceCIDR.String(),
		"secure-port":                        strconv.Itoa(cfg.Listener.Addr().(*net.TCPAddr).Port),
		"tls-cert-file":                      f.Serving.Cert,
		"tls-private-key-file":               f.Serving.Key,
	}
	if len(cfg.DatastoreOverrides) > 0 {
		flags["etcd-servers-overrides"] = strings.Join(cfg.DatastoreOverrides, ",")
	}
	if ca := cfg.DatastoreTLS.CA; ca != "" {
		flags["etcd-cafile"] = ca
	}
	if pair := cfg.DatastoreTLS.Pair; pair.Cert != "" {
		flags["etcd-certfile"], flags["etcd-keyfile"] = pair.Cert, pair.Key
	}
	return flags
}
