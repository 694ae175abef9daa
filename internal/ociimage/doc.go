// Package ociimage makes container image archives: from local files, without a
// registry, a daemon or root (the pause image of the runtime bundle and the
// application images of the demo and the tests), and from the parts of images
// that exist ([Layout]).
//
// An archive of [Write] is an OCI image layout in a tar file that also carries
// Docker's manifest.json, with one layer. Equal input gives equal bytes: no clock, no
// owner, no order of a file system gets in. Formats: OCI image-spec 1.1
// (image-layout, manifest, config) and Docker's image specification v1.2.
//
// The package only writes; importing is the business of agent/runtime. Start
// reading at [Write].
package ociimage
