// Package enroll gives a node its identity: it joins once with a token, keeps
// keys and certificates below the agent's folder, and renews them while it
// runs. A later start needs neither network nor token.
//
// Invariants: nothing but a request for the server's CA is sent before the
// server has been verified by the pin in the token. Keys are made here, are
// 0600 and never leave. The file enroll.json is written last and names what
// belongs together, so a kill at any line means joining again with the same
// device key, which the server knows. A refused first join leaves no file.
//
// Certificates that have ended are no reason for a start to wait: they are
// renewed while the node runs, by proof of the device's key (renew.go). What time
// it is, a server says (clock.go).
//
// Errors that waiting cannot mend end the start at once with the remedy;
// everything else is tried again with jitter for [Config.JoinTimeout]. Start
// reading at [Enroll.Component].
package enroll
