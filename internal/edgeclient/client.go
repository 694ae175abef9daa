package edgeclient

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/gentype"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/kedge-io/kedge/api/edge/v1alpha1"
)

// Policies gets, lists, watches and writes policies of one namespace.
type Policies = gentype.ClientWithList[*v1alpha1.BandwidthPolicy, *v1alpha1.BandwidthPolicyList]

// Reports gets, lists, watches and writes reports of nodes.
type Reports = gentype.ClientWithList[*v1alpha1.NodeBandwidth, *v1alpha1.NodeBandwidthList]

// Firewalls gets, lists, watches and writes edge firewalls.
type Firewalls = gentype.ClientWithList[*v1alpha1.EdgeFirewall, *v1alpha1.EdgeFirewallList]

// AddressSets gets, lists, watches and writes sets of addresses.
type AddressSets = gentype.ClientWithList[*v1alpha1.AddressSet, *v1alpha1.AddressSetList]

// Client is safe for use by several goroutines.
type Client struct {
	rest   rest.Interface
	params runtime.ParameterCodec
}

// New returns a client with the identity and rates of config, which it leaves as
// it is. It speaks JSON: custom resources have no protobuf.
func New(config *rest.Config) (*Client, error) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("client of %s: %w", v1alpha1.GroupVersion(), err)
	}
	own, version := rest.CopyConfig(config), v1alpha1.GroupVersion()
	own.APIPath, own.GroupVersion = "/apis", &version
	own.ContentType, own.AcceptContentTypes = runtime.ContentTypeJSON, runtime.ContentTypeJSON
	own.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	client, err := rest.RESTClientFor(own)
	if err != nil {
		return nil, fmt.Errorf("client of %s: %w", version, err)
	}
	return &Client{rest: client, params: runtime.NewParameterCodec(scheme)}, nil
}

// BandwidthPolicies returns the policies of a namespace, of all with "".
func (c *Client) BandwidthPolicies(namespace string) *Policies {
	return gentype.NewClientWithList(v1alpha1.BandwidthPolicies, c.rest, c.params, namespace,
		func() *v1alpha1.BandwidthPolicy { return &v1alpha1.BandwidthPolicy{} },
		func() *v1alpha1.BandwidthPolicyList { return &v1alpha1.BandwidthPolicyList{} })
}

// NodeBandwidths returns the reports of all nodes.
func (c *Client) NodeBandwidths() *Reports {
	return gentype.NewClientWithList(v1alpha1.NodeBandwidths, c.rest, c.params, "",
		func() *v1alpha1.NodeBandwidth { return &v1alpha1.NodeBandwidth{} },
		func() *v1alpha1.NodeBandwidthList { return &v1alpha1.NodeBandwidthList{} })
}

// EdgeFirewalls returns the edge firewalls of the cluster.
func (c *Client) EdgeFirewalls() *Firewalls {
	return gentype.NewClientWithList(v1alpha1.EdgeFirewalls, c.rest, c.params, "",
		func() *v1alpha1.EdgeFirewall { return &v1alpha1.EdgeFirewall{} },
		func() *v1alpha1.EdgeFirewallList { return &v1alpha1.EdgeFirewallList{} })
}

// AddressSets returns the sets of addresses of the cluster.
func (c *Client) AddressSets() *AddressSets {
	return gentype.NewClientWithList(v1alpha1.AddressSets, c.rest, c.params, "",
		func() *v1alpha1.AddressSet { return &v1alpha1.AddressSet{} },
		func() *v1alpha1.AddressSetList { return &v1alpha1.AddressSetList{} })
}

// lister is what both kinds of clients offer.
type lister[L runtime.Object] interface {
	List(ctx context.Context, options metav1.ListOptions) (L, error)
	Watch(ctx context.Context, options metav1.ListOptions) (watch.Interface, error)
}

// Source is what informers read from.
func Source[L runtime.Object](client lister[L]) cache.ListerWatcher {
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			return client.List(ctx, options)
		},
		WatchFuncWithContext: client.Watch,
	}
}
