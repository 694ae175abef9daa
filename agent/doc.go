// Package agent composes the node side of one machine: enrolment, the local
// endpoint of the API, containerd, kubelet, kube-proxy, the pod network,
// cluster DNS and the link to the server.
//
// It decides who needs whom and hands values on; every part's meaning lies in
// its own package below. It never imports the server: a server's own node gets
// its certificates through a function that the command hands in. Start reading
// at [New].
package agent
