// Package join is the HTTPS API that nodes join and renew through, and the
// records behind it: join tokens and the device that holds each node name.
//
// Both records are Secrets in kube-system, so they share the cluster's storage,
// encryption and several servers agree on them. Of a token only a salted hash
// is stored. Uses are counted, and names claimed, with the API's optimistic
// concurrency: two nodes never share the last use or a name.
//
// Invariants: the server chooses every name in a certificate and signs nothing
// but node certificates here; a node's private keys never arrive; an identity
// comes from a verified client certificate, never from a header. A refusal is a
// [wire.Refusal] that names the remedy. Tokens are never logged.
//
// The API server may not answer yet when the first node knocks: everything that
// needs it says 503 with Retry-After then. Start reading at [Server.Handler].
//
// It also says who is refused whatever it shows: machines that were replaced or
// revoked (barred.go). They lose their open connections (conns.go) and are
// refused from the first moment of the next start. And it tells the time, signed
// by the authorities, to machines whose clock is wrong (time.go).
package join
