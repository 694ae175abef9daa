package kube

import (
	"errors"
	"fmt"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apiserver"
	"k8s.io/apimachinery/pkg/runtime"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/egressselector"
	"k8s.io/apiserver/pkg/util/webhook"
	aggregator "k8s.io/kube-aggregator/pkg/apiserver"
	aggregatorscheme "k8s.io/kube-aggregator/pkg/apiserver/scheme"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
	"k8s.io/kubernetes/cmd/kube-apiserver/app/options"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/controlplane"
	controlplaneapiserver "k8s.io/kubernetes/pkg/controlplane/apiserver"
	generatedopenapi "k8s.io/kubernetes/pkg/generated/openapi"
)

// assemble is upstream's NewConfig (k8s.io/kubernetes/cmd/kube-apiserver/app)
// with our diallers: upstream takes an egress selector only from a file that
// names proxies, and what uses it is built in between.
func assemble(opts options.CompletedOptions, cfg Config) (*app.Config, error) {
	generic, informers, storage, err := controlplaneapiserver.BuildGenericConfig(opts.CompletedOptions,
		[]*runtime.Scheme{legacyscheme.Scheme, apiextensions.Scheme, aggregatorscheme.Scheme},
		controlplane.DefaultAPIResourceConfigSource(), generatedopenapi.GetOpenAPIDefinitions)
	if err != nil {
		return nil, err
	}
	if cfg.Informers != nil {
		if err := cfg.Informers(informers); err != nil {
			return nil, err
		}
	}
	generic.EgressSelector = selector(cfg.Dial)
	kubeAPIs, resolver, initializers, err := app.CreateKubeAPIServerConfig(opts, generic, informers, storage)
	if err != nil {
		return nil, err
	}
	// Kubelets are addressed by their node's name (the Hostname address).
	// Their dialler is not that of addresses, so that no name can be taken for
	// one.
	kubeAPIs.Extra.KubeletClientConfig.Lookup = func(egressselector.NetworkContext) (utilnet.DialFunc, error) {
		return cfg.Dial.Kubelet, nil
	}
	c, control := &app.Config{Options: opts, KubeAPIs: kubeAPIs}, &kubeAPIs.ControlPlane
	c.ApiExtensions, err = controlplaneapiserver.CreateAPIExtensionsConfig(*control.Generic, control.VersionedInformers, initializers,
		opts.CompletedOptions, opts.MasterCount, resolver,
		webhook.NewDefaultAuthenticationInfoResolverWrapper(control.ProxyTransport, control.Generic.EgressSelector,
			control.Generic.LoopbackClientConfig, control.Generic.TracerProvider))
	if err != nil {
		return nil, err
	}
	c.Aggregator, err = controlplaneapiserver.CreateAggregatorConfig(*control.Generic, opts.CompletedOptions,
		control.VersionedInformers, resolver, control.ProxyTransport, control.Extra.PeerProxy, initializers)
	if err != nil {
		return nil, err
	}
	nodes := informers.Core().V1().Nodes().Lister()
	return c, proxyNodes(c, func(name string) bool {
		_, err := nodes.Get(name)
		return err == nil
	})
}

// selector leaves out the datastore, which is reached as its endpoints say.
func selector(dial Dial) *egressselector.EgressSelector {
	return egressselector.NewEgressSelectorWithMap(map[egressselector.EgressType]utilnet.DialFunc{
		egressselector.Cluster:      dial.Cluster,
		egressselector.ControlPlane: dial.ControlPlane,
	})
}

// installAPIs gives the server behind the aggregator to install: what it
// serves, an APIService without a service leads to.
func installAPIs(chain *aggregator.APIAggregator, install func(*genericapiserver.GenericAPIServer) error) error {
	if install == nil {
		return nil
	}
	server, ok := chain.GenericAPIServer.NextDelegate().(*genericapiserver.GenericAPIServer)
	if !ok {
		return errors.New("the aggregator of this Kubernetes delegates to something unknown")
	}
	if err := install(server); err != nil {
		return fmt.Errorf("install further APIs: %w", err)
	}
	return nil
}
