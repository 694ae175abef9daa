package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/spf13/pflag"
)

// applyFiles reads the configuration files and sets every flag that neither
// command line nor environment set.
func (l *loader) applyFiles() {
	file, explicit := l.file()
	if file == "" {
		return
	}
	paths, err := findFiles(file, explicit)
	if err != nil {
		l.fail("%w", err)
		return
	}
	m := merged{}
	for _, path := range paths {
		entries, err := readFile(path)
		if err != nil {
			l.problems = append(l.problems, err)
		}
		l.files = append(l.files, path)
		l.merge(m, entries)
		l.warnOpenSecrets(path, entries)
	}
	l.setMerged(m)
}

// file returns the main file and whether a person named it. A command without
// the flag still follows the environment.
func (l *loader) file() (path string, explicit bool) {
	if f := l.fs.Lookup(FileFlag); f != nil {
		return f.Value.String(), l.origins[FileFlag] != ""
	}
	if path := l.envOf(FileFlag); path != "" {
		return path, true
	}
	return DefaultFile, false
}

// findFiles returns the files to read: file, then file.d/*.yaml and *.yml by
// name. Only an explicitly named file must exist.
func findFiles(file string, explicit bool) ([]string, error) {
	var paths []string
	switch _, err := os.Stat(file); {
	case err == nil:
		paths = append(paths, file)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("config file: %w", err)
	case explicit:
		return nil, fmt.Errorf("config file %s does not exist: create it, or leave out --%s and %s", file, FileFlag, EnvName(FileFlag))
	}
	entries, err := os.ReadDir(file + ".d")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("config files: %w", err)
	}
	var dropIns []string
	for _, e := range entries {
		ext := filepath.Ext(e.Name())
		if (ext == ".yaml" || ext == ".yml") && !e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			dropIns = append(dropIns, filepath.Join(file+".d", e.Name()))
		}
	}
	sort.Strings(dropIns)
	return append(paths, dropIns...), nil
}

func readFile(path string) ([]entry, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("config file: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if err != nil {
		return nil, fmt.Errorf("config file %s: %w", path, err)
	}
	return decode(path, data)
}

// merged holds, by flag name, what all files together say.
type merged map[string]*mergedValue

type mergedValue struct {
	items   []scalar
	extend  bool // to be appended to the flag's default
	origins []string
}

func (l *loader) merge(m merged, entries []entry) {
	for _, e := range entries {
		f := l.fs.Lookup(e.key)
		if l.refuse(f, e) {
			continue
		}
		if err := checkEntry(f, e); err != nil {
			l.fail("%s: %w", e.place(), err)
			continue
		}
		old := m[e.key]
		if !e.extend || old == nil {
			m[e.key] = &mergedValue{items: e.items, extend: e.extend, origins: []string{e.place()}}
			continue
		}
		old.items = append(old.items, e.items...)
		old.origins = append(old.origins, e.place())
	}
}

// refuse reports whether e is passed over, after saying why if that is wrong.
func (l *loader) refuse(f *pflag.Flag, e entry) bool {
	if f != nil && IsOption(f) && f.Name != FileFlag {
		return false
	}
	if l.opts.Partial {
		return true
	}
	owners := l.owners(e.key)
	switch {
	case f != nil && f.Name == FileFlag:
		l.fail("%s: %q cannot be set in a file: use --%s or %s", e.place(), e.key, FileFlag, EnvName(FileFlag))
	case f != nil:
		l.fail("%s: %q can only be given on the command line", e.place(), e.key)
	case len(owners) > 0:
		l.fail("%s: %q is an option of %q, not of %q: remove it", e.place(), e.key, strings.Join(owners, ", "), l.command)
	default:
		l.fail("%s: unknown key %q%s", e.place(), e.key, didYouMean(e.key, l.known()))
	}
	return true
}

func checkEntry(f *pflag.Flag, e entry) error {
	if isList(f) {
		return nil
	}
	if e.extend {
		return fmt.Errorf("%s: takes one value, \"+\" is for lists: write \"%s:\"", e.key, e.key)
	}
	if e.list {
		return fmt.Errorf("%s: a list is not %s", e.key, Expected(f))
	}
	return checkScalar(f, e.items[0])
}

func (l *loader) setMerged(m merged) {
	l.fs.VisitAll(func(f *pflag.Flag) {
		v := m[f.Name]
		if v == nil || l.origins[f.Name] != "" {
			return
		}
		origin := strings.Join(v.origins, ", ")
		if err := setFromFile(f, v); err != nil {
			l.fail("%s: %w", origin, err)
			return
		}
		f.Changed = true
		l.origins[f.Name] = origin
	})
}

func setFromFile(f *pflag.Flag, v *mergedValue) error {
	list, ok := f.Value.(pflag.SliceValue)
	if !ok {
		if err := f.Value.Set(v.items[0].text); err != nil {
			return wrong(f, v.items[0].text, err)
		}
		return nil
	}
	var items []string
	if v.extend {
		items = append(items, list.GetSlice()...)
	}
	for _, s := range v.items {
		items = append(items, s.text)
	}
	if err := list.Replace(items); err != nil {
		return wrong(f, strings.Join(items, ","), err)
	}
	return nil
}

// warnOpenSecrets remarks on a secret in a file that everybody can read.
func (l *loader) warnOpenSecrets(path string, entries []entry) {
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm()&0o004 == 0 {
		return
	}
	for _, e := range entries {
		if f := l.option(e.key); f != nil && IsSecret(f) {
			l.warnings = append(l.warnings, fmt.Sprintf("%s: %q is secret but every user can read the file: chmod 600 %s", e.place(), e.key, path))
		}
	}
}
