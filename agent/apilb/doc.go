// Package apilb is the node's local endpoint of the Kubernetes API.
//
// kubelet, kube-proxy, DNS and the pod network talk to it at [Address], pods and
// host-network programs at the address of the service kubernetes, instead of to
// a server; so nothing on the node changes when servers do. It forwards bytes:
// TLS runs from the client to the API server, and nothing is decrypted here.
//
// A [pool] holds the candidates: the address that the user gave, always, and
// those that the cluster tells of, each only after somebody there has proven to
// be the cluster. It judges them by what clients' connections show; a probe of
// its own it sends when those raise suspicion, and once a minute at most for
// what is not in use. A candidate that fails loses its connections, so that
// clients reconnect, to the next one or, while there is none, to a wait: a
// client is held for [holdFor] and goes on in the moment that a server is back.
//
// It owns port 6444 of 127.0.0.1 and of the service's address, that address on
// lo (label lo:kedge-api) and table inet kedge-api. Start reading at [New].
package apilb
