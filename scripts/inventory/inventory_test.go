package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestLicencesAreKnownByTheirMarks(t *testing.T) {
	const bsd = "Redistribution and use in source and\n// binary forms, with or without modification"
	for want, content := range map[string]string{
		"Apache-2.0":   "   Apache License\n      Version 2.0, January 2004",
		"MIT":          "Permission is hereby granted, free of charge, to any person\nobtaining a copy of this software and associated documentation files",
		"BSD-2-Clause": bsd,
		"BSD-3-Clause": bsd + " ... may be used to endorse or promote products",
		"ISC":          "Permission to use, copy, modify, and/or distribute this software for any purpose\nwith or without fee is hereby granted, provided that",
		"MPL-2.0":      "Mozilla Public License, version 2.0",
		"blessing":     "**    May you do good and not evil.",
		"":             "All rights reserved.",
	} {
		if got := strings.Join(licencesIn(content), " "); got != want {
			t.Errorf("%q is %q, want %q", content, got, want)
		}
	}
}

func TestLicenceFilesAreFoundByTheirNames(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"LICENSE", "COPYING.md", "third_party/x/LICENSE.txt", "LICENSE-SQLITE", "NOTICE", "PATENTS", "y.LICENSE",
		"license.go", "testdata/LICENSE", "vendor/z/LICENSE", "README"} {
		path := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte("x"), 0o600))
	}
	texts, err := licenceFiles(dir)
	must(t, err)
	var got []string
	for _, text := range texts {
		got = append(got, text.name)
	}
	if want := "COPYING.md LICENSE LICENSE-SQLITE NOTICE PATENTS third_party/x/LICENSE.txt y.LICENSE"; strings.Join(got, " ") != want {
		t.Errorf("found %q, want %q", got, want)
	}
}

func TestModuleWithoutAKnownLicenceIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "LICENSE")
	must(t, os.WriteFile(path, []byte("secret sauce"), 0o600))
	for want, texts := range map[string][]text{"no licence text": nil, "not known": {{"LICENSE", path}}} {
		if _, err := identify(texts); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestDocumentIsTheSameTwiceAndNamesEveryPart(t *testing.T) {
	dir := t.TempDir()
	release := filepath.Join(dir, "kedge-linux-amd64")
	must(t, os.WriteFile(release, []byte("bytes"), 0o600))
	o := options{arch: "amd64", version: "1.2.3", release: release, built: time.Unix(1700000000, 0).UTC()}
	inv := &inventory{parts: map[string]part{}}
	inv.programs = []program{{name: "kedge", sha256: "00", parts: []string{
		inv.put(part{name: "a.example/b", version: "v1.0.0", purl: "pkg:golang/a.example/b@v1.0.0", licence: "MIT", sum: "h1:x"}),
		inv.put(cLibrary(o, library{name: "libseccomp", version: "2.5.4-1+deb12u1", licence: "LGPL-2.1-only"})),
	}}}
	var first []byte
	for range 2 {
		o.sbom = filepath.Join(dir, "sbom.json")
		must(t, inv.writeSBOM(o))
		data, err := os.ReadFile(o.sbom)
		must(t, err)
		if first != nil && !bytes.Equal(first, data) {
			t.Error("two documents of one release differ")
		}
		first = data
	}
	var doc struct {
		SpecVersion  string
		Components   []struct{ Purl string }
		Dependencies []struct {
			Ref       string
			DependsOn []string
		}
	}
	must(t, json.Unmarshal(first, &doc))
	if doc.SpecVersion != "1.6" || len(doc.Components) != 3 || len(doc.Dependencies) != 2 || len(doc.Dependencies[0].DependsOn) != 2 {
		t.Errorf("document %+v", doc)
	}
	if got := doc.Components[2].Purl; got != "pkg:deb/debian/libseccomp@2.5.4-1%2Bdeb12u1?arch=amd64" {
		t.Errorf("the C library is %s", got)
	}
}

func TestModuleCacheEscapesCapitals(t *testing.T) {
	if got := escape("github.com/CycloneDX/x"); got != "github.com/!cyclone!d!x/x" {
		t.Errorf("got %s", got)
	}
}
