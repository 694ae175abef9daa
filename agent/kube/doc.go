// Package kube runs kubelet and kube-proxy of this node, unmodified, inside
// this process.
//
// It owns the dependency on k8s.io/kubernetes on the node's side. Both parts
// are configured by the flags that upstream documents, so what a person gives
// in --kubelet-arg means what it means there. kubelet listens on loopback
// only: the server reaches it through the node's own link. The node's object is
// kubelet's; where a restore has undone it, kedge registers it again as kubelet
// did (returning.go). Start reading at
// [Components].
package kube
