// Package pods has the values by which the container runtime tells about pods
// and containers, and the interface of who is told. It is apart from package
// runtime so that observers need not link containerd.
//
// Start reading at [Observer].
package pods
