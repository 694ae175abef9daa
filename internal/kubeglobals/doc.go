// Package kubeglobals owns what the Kubernetes parts of one process share.
//
// Feature gates, the logging configuration and the warning handler are globals
// upstream, and each part would set them for itself when run as a program.
// Here they are set once, before any part starts. It also turns defaults plus
// what a person wrote in --kubelet-arg and its likes into a command line.
// Start reading at [Init].
package kubeglobals
