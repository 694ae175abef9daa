// Package kube runs the control plane: kube-apiserver, kube-controller-manager
// and kube-scheduler, unmodified, side by side in this process.
//
// It owns the dependency on k8s.io/kubernetes on the server side and how
// upstream's parts are started as libraries: through their option structs and
// Run functions, never through their commands, which install signal handlers
// and can do so only once in a process. Each part is configured by the flags
// that upstream documents, so what a person gives in --kube-apiserver-arg
// means what it means there. Start reading at [Components].
package kube
