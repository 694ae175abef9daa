// Package dns is the cluster's DNS server of one node: CoreDNS as a library in
// the process, at the cluster DNS address, with no pod and no image.
//
// It owns the cluster DNS address on the link lo (label lo:kedge), the
// nftables table inet kedge-dns and port 53 of that address, and it must not
// listen anywhere else. Every node has the same address; each pod is answered by
// its own node, so names work while the node is cut off.
//
// A query passes the kubernetes plugin (names of the cluster), the cache and
// the forwarder to the host's resolvers. The plugins are put together here
// rather than by caddy.Start: there is no Corefile, no process-wide list of
// directives, no signal handler. Three plugins are left out on purpose: setup
// of kubernetes replaces the logger of klog for the whole process, loop ends
// the process, errors writes a line for each query that fails.
//
// Of the endpoint slices it watches only what names are made of (selected.go):
// those of headless services. kube-proxy on the same node watches the others.
//
// The address is one of the service range that kube-proxy must not touch. In
// its nftables mode kube-proxy rejects new connections of the host to service
// addresses that it does not know; the packets of DNS are therefore exempt from
// connection tracking, so that they are never "new" (see agent/loaddr).
//
// The address and the table stay when the process ends, are adopted at the
// next start, and [RemoveAll] takes them away without running state. Start
// reading in component.go.
package dns
