package main

import (
	"cmp"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
)

// part is something that was linked into a program.
type part struct {
	name, version string
	purl          string // see github.com/package-url/purl-spec
	sum           string // of the module, as in go.sum; "" when it is none
	licence       string // SPDX expression
	texts         []text // licence files
}

// key identifies a part; it is also its folder in the archive of licences.
func (p part) key() string { return p.name + "@" + p.version }

// text is a licence file: its name in the part's folder and its path.
type text struct{ name, path string }

// program is a file that is executed, with the keys of its parts.
type program struct {
	name, sha256 string
	parts        []string
}

// inventory is everything inside one release file.
type inventory struct {
	programs []program
	parts    map[string]part
}

// take asks every program what it consists of.
func take(o options, paths []string) (*inventory, error) {
	inv := &inventory{parts: map[string]part{}}
	var errs []error
	for _, path := range paths {
		errs = append(errs, inv.add(o, path))
	}
	return inv, errors.Join(errs...)
}

func (inv *inventory) add(o options, path string) error {
	sum, err := digest(path)
	if err != nil {
		return err
	}
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read what %s was built from: %w", path, err)
	}
	p := program{name: filepath.Base(path), sha256: sum}
	modules := info.Deps
	if !strings.HasPrefix(info.Main.Path, "github.com/kedge-io/kedge") {
		modules = append(modules, &info.Main)
	}
	var errs []error
	for _, m := range modules {
		found, err := module(o, m)
		errs = append(errs, err)
		p.parts = append(p.parts, found.key())
		inv.parts[found.key()] = found
		if found.name == "modernc.org/sqlite" {
			p.parts = append(p.parts, inv.put(sqlite(o, found)))
		}
	}
	p.parts = append(p.parts, inv.put(goItself(o, info.GoVersion)))
	if hasC(info) {
		for _, l := range o.libraries {
			p.parts = append(p.parts, inv.put(cLibrary(o, l)))
		}
	}
	slices.Sort(p.parts)
	inv.programs = append(inv.programs, p)
	return errors.Join(errs...)
}

func (inv *inventory) put(p part) string {
	inv.parts[p.key()] = p
	return p.key()
}

// sorted returns the parts by name and version.
func (inv *inventory) sorted() []part {
	var all []part
	for _, p := range inv.parts {
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b part) int { return cmp.Compare(a.key(), b.key()) })
	return all
}

func hasC(info *debug.BuildInfo) bool {
	return slices.ContainsFunc(info.Settings, func(s debug.BuildSetting) bool { return s.Key == "CGO_ENABLED" && s.Value == "1" })
}

// module describes a Go module by its copy in the module cache.
func module(o options, m *debug.Module) (part, error) {
	if m.Replace != nil {
		m = m.Replace
	}
	p := part{name: m.Path, version: m.Version, sum: m.Sum, purl: "pkg:golang/" + m.Path + "@" + m.Version}
	dir := filepath.Join(o.moduleCache, escape(m.Path)+"@"+escape(m.Version))
	var err error
	if p.texts, err = licenceFiles(dir); err != nil {
		return p, err
	}
	p.licence, err = identify(p.texts)
	if err != nil {
		return p, fmt.Errorf("module %s: %w", p.key(), err)
	}
	return p, nil
}

// escape writes capital letters as the module cache does (go.dev/ref/mod).
func escape(s string) string {
	var b strings.Builder
	for _, r := range s {
		if 'A' <= r && r <= 'Z' {
			b.WriteByte('!')
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}

func goItself(o options, version string) part {
	version = strings.TrimPrefix(version, "go")
	p := part{name: "std", version: version, purl: "pkg:golang/std@" + version, licence: "BSD-3-Clause"}
	for _, name := range []string{"LICENSE", "PATENTS"} {
		p.texts = append(p.texts, text{name, filepath.Join(o.goRoot, name)})
	}
	return p
}

// sqlite is in modernc.org/sqlite as translated C.
func sqlite(o options, from part) part {
	p := part{name: "sqlite", version: o.sqlite, purl: "pkg:generic/sqlite@" + o.sqlite, licence: "blessing"}
	for _, t := range from.texts {
		if strings.Contains(strings.ToUpper(t.name), "SQLITE") {
			p.texts = append(p.texts, t)
		}
	}
	return p
}

func cLibrary(o options, l library) part {
	return part{
		name: l.name, version: l.version, licence: l.licence, texts: []text{{"copyright", l.copyright}},
		purl: "pkg:deb/debian/" + l.name + "@" + strings.ReplaceAll(l.version, "+", "%2B") + "?arch=" + o.arch,
	}
}

// digest is the SHA-256 of a file, hexadecimal.
func digest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}
