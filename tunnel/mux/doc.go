// Package mux carries many streams and packets over several lanes: byte-stream
// connections between the same two ends.
package mux
