// Package testx holds what tests of several packages share: probing with a
// deadline instead of sleeping, and skips that a continuous-integration run
// refuses.
package testx
