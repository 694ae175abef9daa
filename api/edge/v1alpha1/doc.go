// Package v1alpha1 holds the custom resources of kedge for the edge: values that
// are written to and read from the API, the names of annotations, and nothing
// that acts on them. It depends on apimachinery only.
//
// [BandwidthPolicy] is what a person wants, [NodeBandwidth] what a node makes of
// it. The annotations of pods are in annotations.go. [EdgeFirewall] is what hosts
// let in and out, [AddressSet] are addresses that firewalls name.
//
// The deep copies and the definitions (crd/) are generated: make codegen.
//
// +kubebuilder:object:generate=true
// +groupName=edge.kedge.io
package v1alpha1
