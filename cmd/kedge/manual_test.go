package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
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

func TestManualKeepsTheNamesOfVariables(t *testing.T) {
	dir := t.TempDir()
	if _, stderr, code := execute(t, "manual", dir); code != exitOK {
		t.Fatal(stderr)
	}
	var look func(c *cobra.Command)
	look = func(c *cobra.Command) {
		path := filepath.Join(dir, "man", "man1", strings.ReplaceAll(c.CommandPath(), " ", "-")+".1")
		page, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
		}
		text := c.Long
		c.Flags().VisitAll(func(f *pflag.Flag) { text += " " + f.Usage })
		for _, word := range strings.Fields(text) {
			if strings.ContainsAny(word, "_*") && !strings.Contains(strings.ReplaceAll(string(page), `\-`, "-"), word) {
				t.Errorf("%s lacks %s", path, word)
			}
		}
		for _, child := range c.Commands() {
			if child.IsAvailableCommand() && !child.IsAdditionalHelpTopicCommand() {
				look(child)
			}
		}
	}
	look(newRootCommand())
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
