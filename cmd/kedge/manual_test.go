package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/spf13/cobra"
)

func TestManualHasAPageForEachCommandAndCompletionsThatShellsTake(t *testing.T) {
	dir := t.TempDir()
	if _, stderr, code := execute(t, "manual", dir); code != exitOK {
		t.Fatal(stderr)
	}
	pages, err := filepath.Glob(filepath.Join(dir, "man", "man1", "*.1"))
	if err != nil || len(pages) != countVisible(newRootCommand()) {
		t.Errorf("%d pages for %d commands: %v", len(pages), countVisible(newRootCommand()), err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "man", "man1", "kedge-token-create.1"))
	if err != nil || !bytes.Contains(text, []byte("--ttl")) || bytes.Contains(text, []byte("Auto generated")) {
		t.Errorf("%v: %s", err, text)
	}
	if out, err := exec.Command("bash", "-n", filepath.Join(dir, "completion", "bash", "kedge")).CombinedOutput(); err != nil {
		t.Errorf("bash: %v: %s", err, out)
	}
	for _, name := range []string{"zsh/_kedge", "fish/kedge.fish"} {
		if st, err := os.Stat(filepath.Join(dir, "completion", name)); err != nil || st.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// countVisible is how many commands people see, c among them.
func countVisible(c *cobra.Command) int {
	n := 1
	for _, child := range c.Commands() {
		if child.IsAvailableCommand() && !child.IsAdditionalHelpTopicCommand() {
			n += countVisible(child)
		}
	}
	return n
}
