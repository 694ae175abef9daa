package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// writeSBOM writes the CycloneDX document of the release file.
func (inv *inventory) writeSBOM(o options) error {
	bom, err := inv.bom(o)
	if err != nil {
		return err
	}
	out, err := os.Create(o.sbom)
	if err != nil {
		return err
	}
	encoder := cdx.NewBOMEncoder(out, cdx.BOMFileFormatJSON).SetPretty(true)
	if err := encoder.EncodeVersion(bom, cdx.SpecVersion1_6); err != nil {
		return fmt.Errorf("write %s: %w", o.sbom, err)
	}
	return out.Close()
}

func (inv *inventory) bom(o options) (*cdx.BOM, error) {
	sum, err := digest(o.release)
	if err != nil {
		return nil, err
	}
	name := filepath.Base(o.release)
	about := cdx.Component{
		BOMRef: name, Type: cdx.ComponentTypeApplication, Name: "kedge", Version: o.version,
		PackageURL: "pkg:generic/kedge@" + o.version + "?arch=" + o.arch, Hashes: hashes(sum), Licenses: licences("Apache-2.0"),
	}
	bom := cdx.NewBOM()
	bom.SerialNumber = serial(sum)
	bom.Metadata = &cdx.Metadata{Timestamp: o.built.Format(time.RFC3339), Component: &about}
	components, dependencies := inv.components()
	bom.Components, bom.Dependencies = &components, &dependencies
	var names []string
	for _, p := range inv.programs {
		names = append(names, "program:"+p.name)
	}
	dependencies = append(dependencies, cdx.Dependency{Ref: name, Dependencies: &names})
	return bom, nil
}

// components lists programs and parts, and which part is in which program.
func (inv *inventory) components() ([]cdx.Component, []cdx.Dependency) {
	var all []cdx.Component
	var dependencies []cdx.Dependency
	for _, p := range inv.programs {
		ref := "program:" + p.name
		all = append(all, cdx.Component{BOMRef: ref, Type: cdx.ComponentTypeApplication, Name: p.name, Hashes: hashes(p.sha256)})
		var refs []string
		for _, key := range p.parts {
			refs = append(refs, inv.parts[key].purl)
		}
		dependencies = append(dependencies, cdx.Dependency{Ref: ref, Dependencies: &refs})
	}
	for _, p := range inv.sorted() {
		c := cdx.Component{
			BOMRef: p.purl, Type: cdx.ComponentTypeLibrary, Name: p.name, Version: p.version,
			PackageURL: p.purl, Licenses: licences(p.licence),
		}
		if p.sum != "" {
			c.Properties = &[]cdx.Property{{Name: "kedge:go.sum", Value: p.sum}}
		}
		all = append(all, c)
	}
	return all, dependencies
}

func hashes(sum string) *[]cdx.Hash {
	return &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: sum}}
}

func licences(expression string) *cdx.Licenses {
	return &cdx.Licenses{{Expression: expression}}
}

// serial is a UUID that follows from the release file (RFC 9562, version 8), so
// that equal releases have equal documents.
func serial(sum string) string {
	b := sha256.Sum256([]byte("kedge release " + sum))
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:16])
}
