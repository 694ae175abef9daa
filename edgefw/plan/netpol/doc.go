// Package netpol turns network policies (networking.k8s.io/v1) into the rules
// of each node's own pods: values in, values out.
//
// It owns the meaning of a policy: what it selects, what a peer and a port
// stand for, and what becomes of one packet. It knows no kernel, no clock and
// no API server.
//
// Rules name pods by UID, for the node knows a pod's addresses before anybody
// else, and other ends by sets of addresses. A set is named by what was asked
// for (namespace and selectors), never by what it holds: a pod that comes or
// goes changes the content of sets, seldom a rule.
//
// What is different from other clusters: the cluster DNS has no pod here, and
// so its address counts as one of kube-system with the label k8s-app=kube-dns;
// and the API's address is on each node, where its port is rewritten.
//
// Start reading at [Compile], then in peers.go; [DecidePod] is the same for
// people.
package netpol
