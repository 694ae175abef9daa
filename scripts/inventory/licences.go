package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
)

// licenceName matches the names that licence texts have in modules.
var licenceName = regexp.MustCompile(`(?i)^(un)?(licen[cs]e|copying|copyright|notice|patents)([-._].*)?$|(?i)^.*[-._](licen[cs]e|copying)(\.(txt|md))?$`)

// noText matches what bears such a name and is something else.
var noText = regexp.MustCompile(`(?i)\.(go|s|py|sh|tmpl|json|ya?ml|csv|golden|tpl|header)$`)

// skipped are folders whose content is not linked.
var skipped = []string{"testdata", "vendor", "LICENSES", "_vendor", "node_modules"}

// licenceFiles finds the licence texts of the module in dir, those of parts
// that it took over from others included.
func licenceFiles(dir string) ([]text, error) {
	var found []text
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains(skipped, d.Name()):
			return fs.SkipDir
		case d.Type().IsRegular() && licenceName.MatchString(d.Name()) && !noText.MatchString(d.Name()):
			name, err := filepath.Rel(dir, path)
			found = append(found, text{filepath.ToSlash(name), path})
			return err
		}
		return nil
	})
	return found, err
}

// mark is a phrase that only one licence has, in lower case with single blanks.
type mark struct{ id, phrase string }

// marks are looked for in this order; one text may hold several licences.
var marks = []mark{
	{"Apache-2.0", "apache license version 2.0"},
	{"Apache-2.0", "licensed under the apache license, version 2.0"},
	{"MPL-2.0", "mozilla public license version 2.0"},
	{"MPL-2.0", "mozilla public license, version 2.0"},
	{"MIT", "permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation"},
	{"BSD-3-Clause", "redistribution and use in source and binary forms"}, // see bsd
	{"ISC", "permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is hereby granted, provided"},
	{"ISC", "permission to use, copy, modify, and distribute this software for any purpose with or without fee is hereby granted, provided"},
	{"Unlicense", "this is free and unencumbered software released into the public domain"},
	{"CC0-1.0", "cc0 1.0 universal"},
	{"blessing", "may you do good and not evil"},
	{"Zlib", "altered source versions must be plainly marked as such"},
	{"LGPL-3.0-only", "gnu lesser general public license version 3"},
	{"LGPL-2.1-only", "gnu lesser general public license version 2.1"},
	{"GPL-3.0-only", "gnu general public license version 3"},
	{"GPL-2.0-only", "gnu general public license version 2"},
	{"AGPL-3.0-only", "gnu affero general public license version 3"},
}

// identify returns the SPDX expression of the texts in a module's top folder,
// or of all when there is none.
func identify(texts []text) (string, error) {
	top := slices.DeleteFunc(slices.Clone(texts), func(t text) bool { return strings.Contains(t.name, "/") })
	if len(top) == 0 {
		top = texts
	}
	if len(top) == 0 {
		return "", errors.New("has no licence text")
	}
	var ids, names []string
	for _, t := range top {
		data, err := os.ReadFile(t.path)
		if err != nil {
			return "", err
		}
		ids = append(ids, licencesIn(string(data))...)
		names = append(names, t.name)
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	if len(ids) == 0 {
		return "", fmt.Errorf("has a licence that is not known here (%s): add its mark", strings.Join(names, ", "))
	}
	return strings.Join(ids, " AND "), nil
}

var blanks = regexp.MustCompile(`[\s*#/>]+`)

// licencesIn finds the licences whose marks a text has.
func licencesIn(content string) []string {
	content = blanks.ReplaceAllString(strings.ToLower(content), " ")
	content = strings.ReplaceAll(content, "and or distribute", "and/or distribute")
	var ids []string
	for _, m := range marks {
		if !strings.Contains(content, m.phrase) || slices.Contains(ids, m.id) {
			continue
		}
		if m.id == "BSD-3-Clause" && !strings.Contains(content, "endorse or promote") {
			m.id = "BSD-2-Clause"
		}
		ids = append(ids, m.id)
	}
	return ids
}

// writeLicences copies every text to dir/NAME@VERSION/ and lists all parts in
// dir/README. What is there of another architecture stays.
func (inv *inventory) writeLicences(dir string) error {
	for _, p := range inv.sorted() {
		if len(p.texts) == 0 {
			return fmt.Errorf("%s has no licence text", p.key())
		}
		for _, t := range p.texts {
			if err := copyText(t.path, filepath.Join(dir, filepath.FromSlash(p.key()), filepath.FromSlash(t.name))); err != nil {
				return err
			}
		}
	}
	return inv.writeIndex(filepath.Join(dir, "README"))
}

// writeIndex adds the parts to the list at path.
func (inv *inventory) writeIndex(path string) error {
	const title = "What the programs of this release consist of; the texts are in the folders of these names."
	lines := map[string]bool{}
	if old, err := os.ReadFile(path); err == nil {
		for line := range strings.Lines(string(old)) {
			if f := strings.Fields(line); strings.Contains(line, "@") && len(f) > 1 {
				lines[f[0]+"\t"+strings.Join(f[1:], " ")] = true
			}
		}
	}
	for _, p := range inv.parts {
		lines[p.key()+"\t"+p.licence] = true
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", title)
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, line := range slices.Sorted(keys(lines)) {
		fmt.Fprintln(w, line)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(b.String()), 0o644)
}

func keys(m map[string]bool) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func copyText(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o644)
}
