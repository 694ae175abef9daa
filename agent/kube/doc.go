// Package kube runs kubelet and kube-proxy of this node, unmodified, inside
// this process.
//
// It owns the dependency on k8s.io/kubernetes on the node's side. Both parts
// are configured by the flags that upstream documents, so what a person gives
// in --kubelet-arg means what it means there. kubelet listens on loopback
// only: the server reaches it through the node's own link. Start reading at
// [Components].
package kube
