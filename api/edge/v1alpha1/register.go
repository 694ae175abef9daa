package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Group and Version are what manifests write as apiVersion:
// edge.kedge.io/v1alpha1.
const (
	Group   = "edge.kedge.io"
	Version = "v1alpha1"
)

// Names of the resources in paths of the API.
const (
	BandwidthPolicies = "bandwidthpolicies"
	NodeBandwidths    = "nodebandwidths"
	EdgeFirewalls     = "edgefirewalls"
	AddressSets       = "addresssets"
)

// Names of the kinds in manifests.
const (
	KindBandwidthPolicy = "BandwidthPolicy"
	KindNodeBandwidth   = "NodeBandwidth"
	KindEdgeFirewall    = "EdgeFirewall"
	KindAddressSet      = "AddressSet"
)

// GroupVersion returns the group and version of all kinds of this package.
func GroupVersion() schema.GroupVersion {
	return schema.GroupVersion{Group: Group, Version: Version}
}

// Resource returns how clients of the API call one of the resources.
func Resource(plural string) schema.GroupVersionResource {
	return GroupVersion().WithResource(plural)
}

// AddToScheme makes the kinds known to scheme.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion(), &BandwidthPolicy{}, &BandwidthPolicyList{}, &NodeBandwidth{}, &NodeBandwidthList{},
		&EdgeFirewall{}, &EdgeFirewallList{}, &AddressSet{}, &AddressSetList{})
	metav1.AddToGroupVersion(scheme, GroupVersion())
	return nil
}
