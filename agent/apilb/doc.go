// Package apilb is the node's local endpoint of the Kubernetes API.
//
// kubelet, kube-proxy, DNS and the pod network talk to it instead of a server,
// so their configuration never changes when servers do. It forwards bytes: TLS
// runs from the client to the API server, and nothing is decrypted here.
// Start reading at [New].
package apilb
