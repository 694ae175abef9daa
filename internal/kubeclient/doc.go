// Package kubeclient writes kubeconfig files and opens them again as client
// configurations with kedge's settings: protobuf for built-in kinds, request
// rates that suit one process with many clients, and kedge's user agent.
//
// Start reading at [Kubeconfig.Write] and [FromFile].
package kubeclient
