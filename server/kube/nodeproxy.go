package kube

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/proxy"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"
	"k8s.io/apiserver/pkg/endpoints/request"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/apis/core"
	kubeletclient "k8s.io/kubernetes/pkg/kubelet/client"
)

// kubeletPort is the port of every kubelet.
const kubeletPort = 10250

// nodeProxy answers the proxy subresource of nodes in upstream's place. There
// (k8s.io/kubernetes/pkg/registry/core/node, ResourceLocation) the name of the
// node must be one that the server's resolver knows, although it is only dialled
// by us. Authentication, authorization and audit come before, admission is asked
// here as upstream does.
type nodeProxy struct {
	transport http.RoundTripper
	admit     admission.Interface
	exists    func(node string) bool
}

// proxyNodes puts the node proxy behind upstream's filters.
func proxyNodes(config *app.Config, exists func(node string) bool) error {
	transport, err := kubeletclient.MakeTransport(&config.KubeAPIs.Extra.KubeletClientConfig)
	if err != nil {
		return err
	}
	p := &nodeProxy{transport: transport, admit: config.KubeAPIs.ControlPlane.Generic.AdmissionControl, exists: exists}
	generic := &config.Aggregator.GenericConfig.Config
	build := generic.BuildHandlerChainFunc
	generic.BuildHandlerChainFunc = func(api http.Handler, c *genericapiserver.Config) http.Handler {
		return build(p.wrap(api), c)
	}
	return nil
}

func (p *nodeProxy) wrap(api http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		info, _ := request.RequestInfoFrom(r.Context())
		location := p.location(info)
		if location == nil {
			api.ServeHTTP(w, r)
			return
		}
		fail := func(err error) {
			responsewriters.ErrorNegotiated(err, legacyscheme.Codecs, schema.GroupVersion{Version: "v1"}, w, r)
		}
		if err := p.ask(request.WithNamespace(r.Context(), ""), info.Name, location.Path); err != nil {
			fail(err)
			return
		}
		proxy.NewUpgradeAwareHandler(location, p.transport, true, false, responder(fail)).ServeHTTP(w, r)
	})
}

type responder func(error)

func (f responder) Error(_ http.ResponseWriter, _ *http.Request, err error) { f(err) }

// location is where the request leads, nil if it is none for a kubelet. Other
// ports of a node are left to upstream.
func (p *nodeProxy) location(info *request.RequestInfo) *url.URL {
	if info == nil || !info.IsResourceRequest || info.APIGroup != "" || info.Resource != "nodes" || info.Subresource != "proxy" || len(info.Parts) < 3 {
		return nil
	}
	_, name, port, ok := utilnet.SplitSchemeNamePort(info.Name)
	if !ok || (port != "" && port != strconv.Itoa(kubeletPort)) || !p.exists(name) {
		return nil
	}
	path := "/" + strings.Join(info.Parts[3:], "/")
	if strings.HasSuffix(info.Path, "/") && path != "/" {
		path += "/"
	}
	return &url.URL{Scheme: "https", Host: name + ":" + strconv.Itoa(kubeletPort), Path: path}
}

// ask asks the admission plugins whether a connection may be made.
func (p *nodeProxy) ask(ctx context.Context, name, path string) error {
	admit := admission.WithAudit(p.admit)
	if admit == nil || !admit.Handles(admission.Connect) {
		return nil
	}
	user, ok := request.UserFrom(ctx)
	if !ok {
		return errors.New("no user found for the request")
	}
	attributes := admission.NewAttributesRecord(&core.NodeProxyOptions{Path: path}, nil,
		schema.GroupVersionKind{Version: "v1", Kind: "NodeProxyOptions"}, "", name,
		schema.GroupVersionResource{Version: "v1", Resource: "nodes"}, "proxy", admission.Connect, nil, false, user)
	objects := admission.NewObjectInterfacesFromScheme(legacyscheme.Scheme)
	if m, ok := admit.(admission.MutationInterface); ok {
		if err := m.Admit(ctx, attributes, objects); err != nil {
			return err
		}
	}
	if v, ok := admit.(admission.ValidationInterface); ok {
		return v.Validate(ctx, attributes, objects)
	}
	return nil
}
