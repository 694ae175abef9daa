// Package edgeclient reads, writes and watches kedge's own resources
// (api/edge/v1alpha1) as values of their types. Its clients are upstream's
// generic ones; nothing is generated.
//
// Start reading at [New].
package edgeclient
