package mux

import "github.com/kedge-io/kedge/tunnel"

// appendEnding appends a frame of one of the kinds that end a stream.
func appendEnding(b []byte, k kind, id uint32, e tunnel.Ending) []byte {
	return e.Append(appendHeader(b, k, id, e.Size(maxReason)), maxReason)
}
