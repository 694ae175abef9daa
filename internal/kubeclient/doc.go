// Package kubeclient writes kubeconfig files and opens them again as client
// configurations with kedge's settings: protobuf for built-in kinds, request
// rates that suit one process with many clients, and kedge's user agent.
//
// Clients whose kubeconfig names files are live: they take up renewed
// certificates and replaced authorities within a second of the next request,
// and cut nothing that runs ([ADR 35]).
//
// Start reading at [Kubeconfig.Write], [FromFile] and live.go.
//
// [ADR 35]: docs/adr/0035-nodes-renew.md
package kubeclient
