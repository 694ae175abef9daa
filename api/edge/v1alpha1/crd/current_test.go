package crd_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The generator runs from the build cache in two seconds; the first time it is
// built like the linter.
func TestGeneratedFilesAreCurrent(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the generator")
	}
	out := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "go", "tool", "-modfile=tools/codegen/go.mod", "controller-gen", "object", "crd",
		"paths=./api/edge/v1alpha1", "output:dir="+out)
	cmd.Dir = "../../../.."
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	made, err := os.ReadDir(out)
	if err != nil || len(made) == 0 {
		t.Fatalf("%d files were generated, %v", len(made), err)
	}
	for _, f := range made {
		dir := "."
		if filepath.Ext(f.Name()) == ".go" {
			dir = ".."
		}
		want, err := os.ReadFile(filepath.Join(out, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		have, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil || string(have) != string(want) {
			t.Errorf("%s is not what the types say (%v): run make codegen", f.Name(), err)
		}
	}
}
