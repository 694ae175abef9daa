// Package render writes what a node enforces as the text of iptables-restore,
// for one family. It is pure: values in, text out, the same text for the same
// values.
//
// The text is the one that iptables-save prints of it, so that what is in the
// kernel can be compared with what was wished by comparing strings.
//
// Invariants: what is allowed leaves by RETURN and never by ACCEPT, so that
// rules of others still see it; every name begins with [Prefix] or [SetPrefix];
// a hook in which nobody has an opinion has no chain.
//
// Start reading at [New], then host.go.
package render
