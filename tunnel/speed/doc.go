// Package speed measures a link with the targets that a node answers by
// itself: round trips of 100 bytes (tunnel.TargetEcho), the time of a dial, and
// bytes per second in each direction (tunnel.TargetSink, tunnel.TargetSource).
//
// It opens streams and times them, nothing else: no figure is estimated. Bytes
// to a node count when the link has taken them, so up to one window of each
// stream (256 KiB) may still be on its way when a measurement ends.
//
// Start reading at [Measure].
package speed
