// Package crd holds the definitions of the custom resources as the API server
// takes them. The YAML files are generated from the types and their markers in
// package v1alpha1: make codegen.
//
// Start reading at [Bandwidth] and [Firewall].
package crd

import (
	"embed"
	"fmt"
	"io/fs"
)

//go:embed *.yaml
var files embed.FS

// Bandwidth returns the definitions of BandwidthPolicy and NodeBandwidth as YAML
// documents.
func Bandwidth() string {
	return read("edge.kedge.io_bandwidthpolicies.yaml") + read("edge.kedge.io_nodebandwidths.yaml")
}

// Firewall returns the definitions of EdgeFirewall and AddressSet as YAML
// documents.
func Firewall() string {
	return read("edge.kedge.io_edgefirewalls.yaml") + read("edge.kedge.io_addresssets.yaml")
}

func read(name string) string {
	raw, err := fs.ReadFile(files, name)
	if err != nil {
		panic(fmt.Sprintf("%s is part of the binary: %v", name, err))
	}
	return string(raw)
}
