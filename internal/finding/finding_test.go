package finding_test

import (
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/kedge-io/kedge/internal/finding"
	"github.com/kedge-io/kedge/internal/testx"
)

var update = flag.Bool("update", false, "write the table of findings into the documents")

// declared are the values of all constants of type ID in this package.
func declared(t *testing.T) []finding.ID {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var out []finding.ID
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok {
				return true
			}
			if kind, ok := spec.Type.(*ast.Ident); ok && kind.Name == "ID" {
				text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, finding.ID(text))
			}
			return true
		})
	}
	return out
}

func TestEveryIDIsInTheCatalogueOnce(t *testing.T) {
	seen := map[finding.ID]int{}
	for _, e := range finding.Catalogue() {
		seen[e.ID]++
		if e.About == "" || e.Why == "" || e.Remedy == "" {
			t.Errorf("%s says too little: %+v", e.ID, e)
		}
	}
	ids := declared(t)
	if len(ids) < 50 || len(ids) != len(seen) {
		t.Errorf("%d ids are declared, %d are in the catalogue", len(ids), len(seen))
	}
	for _, id := range ids {
		if seen[id] != 1 {
			t.Errorf("%s is in the catalogue %d times", id, seen[id])
		}
	}
}

func TestEveryIDIsDocumented(t *testing.T) {
	root, err := testx.RepoRoot()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(root, "docs/operations/troubleshooting.md")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- findings: go test ./internal/finding -update -->\n", "<!-- end of findings -->"
	before, rest, ok := strings.Cut(string(text), begin)
	table, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table between %q and %q", path, begin, end)
	}
	want := "\n" + finding.Markdown() + "\n"
	if *update && table != want {
		if err := os.WriteFile(path, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		table = want
	}
	if table != want {
		t.Errorf("the table in %s is not the catalogue: run go test ./internal/finding -update", path)
	}
}

func TestWorstComesFirstAndOKHasNoRemedy(t *testing.T) {
	list := []finding.Finding{
		finding.New(finding.Swap, finding.OK, "no swap"),
		finding.New(finding.TUN, finding.Warning, "no /dev/net/tun").Instead("load it"),
		finding.New(finding.Root, finding.Error, "user id %d", 1000),
	}
	if finding.Worst(list) != finding.Error || finding.Worst(nil) != finding.OK {
		t.Errorf("the worst is %s", finding.Worst(list))
	}
	var out strings.Builder
	if err := finding.WriteTable(&out, list, false); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	if !strings.HasPrefix(text, "error    host.root: user id 1000\n") || !strings.Contains(text, "remedy: load it\n") ||
		strings.Contains(text, "no swap") || !strings.HasSuffix(text, "1 errors, 1 warnings, 0 notes, 1 well\n") {
		t.Errorf("printed:\n%s", text)
	}
	if well := list[2]; well.Severity != finding.OK || well.Remedy != "" || well.Why != "" {
		t.Errorf("what is well says %+v", well)
	}
}
