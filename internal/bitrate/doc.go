// Package bitrate is the value of a bandwidth: bits per second, written the way
// Kubernetes writes quantities ("10M" is 10,000,000 bit/s), as the annotations
// kubernetes.io/ingress-bandwidth and kubernetes.io/egress-bandwidth take it.
//
// Start reading at [Parse].
package bitrate
