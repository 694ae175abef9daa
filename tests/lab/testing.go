package lab

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kedge-io/kedge/internal/testx"
)

// New builds t's lab and closes it when the test ends. If the test failed by then, the ends of all
// logs are printed; whole logs are in $KEDGE_LAB_DIR/TEST or tests/lab/out/TEST.
func New(t testing.TB, topology Topology) *Lab {
	t.Helper()
	testx.NeedRoot(t)
	testx.NeedPrograms(t, "nft")
	out, err := outDir(t.Name())
	if err != nil {
		t.Fatal(err)
	}
	l, err := Up(t.Context(), topology, out)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("logs are in %s\n%s", l.Out(), l.Tails(40))
		}
		if err := l.Close(); err != nil {
			t.Errorf("close the laboratory: %v", err)
		}
	})
	return l
}

// outDir makes an empty directory for the logs of the run called name.
func outDir(name string) (string, error) {
	parent := os.Getenv("KEDGE_LAB_DIR")
	if parent == "" {
		root, err := testx.RepoRoot()
		if err != nil {
			return "", err
		}
		parent = filepath.Join(root, "tests", "lab", "out")
	}
	dir := filepath.Join(parent, strings.ReplaceAll(name, "/", "_"))
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	return dir, os.MkdirAll(dir, 0o755)
}
