// Package certs makes and keeps every key, certificate, kubeconfig and the
// encryption configuration that a server needs, below one data directory.
//
// There are five authorities, so that no certificate can be used for what it
// was not made for:
//
//	server-ca          what clients of port 6443 trust; pinned by join tokens
//	client-ca          every client of the API: components, nodes, people
//	kubelet-ca         what kubelets serve with; only the apiserver trusts it
//	request-header-ca  the aggregation layer's front proxy
//	etcd/server-ca     the link to the datastore
//
// kubelet-ca is separate from server-ca because a node chooses the addresses in
// its serving certificate: with one authority, a node could pose as the server
// to other nodes.
//
// Invariants: keys are 0600 and folders 0700. Everything may be repeated and
// killed at any line. What cannot be made again without losing data (an
// authority, the service-account key, the encryption key) is never made while a
// database exists. [Ensure] is the place to start reading.
package certs
