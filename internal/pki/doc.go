// Package pki makes, checks and keeps the certificates of a cluster: ECDSA
// P-256 authorities and leaves, key files, signing requests and the names that
// kedge puts into certificates.
//
// Invariants: a key file is 0600 and is written before the certificate that
// needs it, so a crash at any line leaves a state that the next Ensure call
// completes. Renewal keeps the key, so that replacing one file is all of it.
// The time is always handed in, as internal/clock knows it; every certificate is
// valid from 1970 on, so that a clock that is behind is no reason to refuse it.
// A requester chooses its public key and never a name.
//
// Start reading at [EnsureCA] and [Issuer].
package pki
