package addons

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// maxFile bounds what is read of one manifest: the apiserver takes 3 MiB per
// object, and a folder of manifests is no place for more than this.
const maxFile = 32 << 20

// maxProblems ends the reading of a file.
const maxProblems = 20

// file is one manifest as it was found.
type file struct {
	name    string // path below the folder, with slashes
	hash    string // of the content
	objects []*unstructured.Unstructured
	// problems of reading or parsing; such a file prunes nothing.
	problems []error
}

// whole tells whether objects is certainly everything the file asks for.
func (f *file) whole() bool { return len(f.problems) == 0 }

// readDir reads all manifests below dir, sorted by name. Files with a
// neighbour NAME.skip are listed in skipped and not read.
func readDir(dir string) (files []*file, skipped []string, err error) {
	var names []string
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if path != dir && strings.HasPrefix(d.Name(), ".") {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if d.IsDir() || !isManifest(path) {
			return nil
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		names = append(names, filepath.ToSlash(rel))
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("read manifests in %s: %w", dir, err)
	}
	slices.Sort(names)
	for _, name := range names {
		if _, err := os.Lstat(filepath.Join(dir, name+".skip")); err == nil {
			skipped = append(skipped, name)
			continue
		}
		files = append(files, readFile(dir, name))
	}
	return files, skipped, nil
}

func isManifest(path string) bool {
	return slices.Contains([]string{".yaml", ".yml", ".json"}, strings.ToLower(filepath.Ext(path)))
}

func readFile(dir, name string) *file {
	f := &file{name: name}
	path := filepath.Join(dir, name)
	st, err := os.Stat(path)
	if err == nil && st.Size() > maxFile {
		err = fmt.Errorf("%d MiB are more than a manifest may have (%d)", st.Size()>>20, maxFile>>20)
	}
	var raw []byte
	if err == nil {
		raw, err = os.ReadFile(path)
	}
	if err != nil {
		f.problems = append(f.problems, err)
		return f
	}
	sum := sha256.Sum256(raw)
	f.hash = hex.EncodeToString(sum[:])
	f.objects, f.problems = parse(raw)
	return f
}

// parse splits documents and flattens lists. Objects that parse are returned
// even when others do not.
func parse(raw []byte) (objects []*unstructured.Unstructured, problems []error) {
	if len(bytes.TrimSpace(raw)) == 0 {
		// Also what an interrupted copy leaves behind.
		return nil, []error{errors.New("the file is empty: remove it to remove its objects")}
	}
	d := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(raw), 4096)
	for n := 1; ; n++ {
		var doc runtime.RawExtension
		var content map[string]any
		err := d.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return objects, problems
		}
		if err == nil && len(doc.Raw) > 0 {
			err = json.Unmarshal(doc.Raw, &content)
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("document %d: %w", n, err))
			// A broken JSON stream gives faults for ever.
			if bytes.HasPrefix(bytes.TrimSpace(raw), []byte("{")) || len(problems) >= maxProblems {
				return objects, problems
			}
			continue
		}
		if len(content) == 0 {
			continue
		}
		found, err := flatten(&unstructured.Unstructured{Object: content})
		if err != nil {
			problems = append(problems, fmt.Errorf("document %d: %w", n, err))
		}
		objects = append(objects, found...)
	}
}

func flatten(o *unstructured.Unstructured) ([]*unstructured.Unstructured, error) {
	if o.GetAPIVersion() == "" || o.GetKind() == "" {
		return nil, errors.New("apiVersion or kind is missing")
	}
	if !o.IsList() {
		if o.GetName() == "" {
			return nil, fmt.Errorf("%s has no metadata.name", o.GetKind())
		}
		return []*unstructured.Unstructured{o}, nil
	}
	var all []*unstructured.Unstructured
	var errs []error
	err := o.EachListItem(func(item runtime.Object) error {
		found, err := flatten(item.(*unstructured.Unstructured))
		all = append(all, found...)
		errs = append(errs, err)
		return nil
	})
	return all, errors.Join(append(errs, err)...)
}
