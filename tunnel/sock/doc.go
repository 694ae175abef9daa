// Package sock sets the kernel's options on the TCP connections of a link, and
// keeps what a program of this host sent before it closed ([KeepTail]).
//
// It owns no connection: it changes the options of the ones that it is given
// and looks through TLS and other wrappers for the TCP connection below. An
// option that a kernel does not know is left out without an error, because a
// link without it is slower but works.
//
// Start reading at [Tune].
package sock
