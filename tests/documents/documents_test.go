package documents

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/kedge-io/kedge/internal/testx"
)

// pages returns every page by its path below the repository, without those of folders that
// are built or ignored.
func pages(t *testing.T) (root string, texts map[string]string) {
	t.Helper()
	root, err := testx.RepoRoot()
	if err != nil {
		t.Fatal(err)
	}
	texts = map[string]string{}
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && (name == "build" || name == "bin" || name == "out" || name == "testdata" || path != root && strings.HasPrefix(name, ".")) {
			return filepath.SkipDir
		}
		if filepath.Ext(name) != ".md" {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		texts[rel] = string(text)
		return err
	})
	if err != nil || texts["README.md"] == "" {
		t.Fatalf("no pages: %v", err)
	}
	return root, texts
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	// gopath is the name of a file of ours in backticks, with a folder.
	gopath = regexp.MustCompile("`((?:cmd|server|agent|tunnel|internal|tests|scripts|tools|docs)/[\\w./-]+)`")
)

func TestLinksLeadSomewhere(t *testing.T) {
	root, texts := pages(t)
	for page, text := range texts {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			target, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			file := page
			if target != "" {
				file = filepath.Join(filepath.Dir(page), target)
			}
			if _, err := os.Stat(filepath.Join(root, file)); err != nil {
				t.Errorf("%s links to %s, which is not there", page, m[1])
			} else if anchor != "" && !anchors(texts[file])[anchor] {
				t.Errorf("%s links to %s, but %s has no such heading", page, m[1], file)
			}
		}
	}
}

// anchors are the headings as they are linked: lower case, dashes for spaces, other signs dropped.
func anchors(text string) map[string]bool {
	drop := regexp.MustCompile(`[^a-z0-9 _-]`)
	found := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		found[strings.ReplaceAll(drop.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-")] = true
	}
	return found
}

func TestFilesThatAreNamedExist(t *testing.T) {
	root, texts := pages(t)
	for page, text := range texts {
		for _, m := range gopath.FindAllStringSubmatch(text, -1) {
			first, _, _ := strings.Cut(m[1], "/")
			if dataPath(first, m[1]) {
				continue
			}
			if _, err := os.Stat(filepath.Join(root, m[1])); err != nil {
				t.Errorf("%s names %s, which is not there", page, m[1])
			}
		}
	}
}

// dataPath tells names below the data directory from those of the repository: both have the
// folders server and agent.
func dataPath(first, path string) bool {
	rest := strings.TrimPrefix(path, first+"/")
	folder, _, _ := strings.Cut(rest, "/")
	switch first {
	case "server":
		switch folder {
		case "tls", "cred", "db", "manifests", "addresslists", "snapshots", "recovery-token", "datastore-begun", "datastore-last", "dist":
			return true
		}
	case "agent":
		switch folder {
		case "tls", "containerd", "images", "kubelet", "cni", "logs", "etc", "pod-manifests", "pod-logs", "servers.json", "bandwidth.json", "firewall.json":
			return true
		}
	}
	return false
}

func TestIndexListsEveryDecision(t *testing.T) {
	root, texts := pages(t)
	index := texts["docs/adr/README.md"]
	all, err := filepath.Glob(filepath.Join(root, "docs/adr/[0-9]*.md"))
	if err != nil || len(all) == 0 {
		t.Fatalf("no decisions: %v", err)
	}
	numbers := map[string]string{}
	for _, path := range all {
		name := filepath.Base(path)
		if !strings.Contains(index, "("+name+")") {
			t.Errorf("docs/adr/README.md lacks %s", name)
		}
		if other := numbers[name[:4]]; other != "" {
			t.Errorf("%s and %s have one number", other, name)
		}
		numbers[name[:4]] = name
		text := texts["docs/adr/"+name]
		want := "# " + strings.TrimLeft(name[:4], "0") + ". "
		if !strings.HasPrefix(text, want) || !strings.Contains(strings.ToLower(text), "what would change our mind") {
			t.Errorf("%s: want a first line beginning with %q, and what would change our mind", name, want)
		}
	}
}
