// Package pipe finds a way for bytes between a node and its server's port,
// whatever stands in between: nothing, an HTTP proxy that is asked with CONNECT,
// or a proxy that ends TLS and forwards HTTP.
//
// A [Dialer] makes connections that a client of the server then speaks TLS on.
// At the server's address it first finds out who answers: where that is the
// cluster (its authority is pinned), bytes go straight; where it is somebody
// else, they go through a websocket whose far end, a [Listener] of the server,
// takes them in as one more connection. TLS with the cluster's certificates
// runs inside, so that such a proxy sees neither tokens nor requests and can
// change nothing.
//
// The package decides nothing by trust: who is at the other end is the business
// of the TLS inside, and a wrong way only fails. It must not look into what it
// carries, and knows no API. Start reading at [Dialer.DialContext] and
// [Listener].
package pipe
