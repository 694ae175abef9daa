package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/kedge-io/kedge/internal/version"
)

// newManualCommand makes the hidden command that writes what a release brings for
// man(1) and for shells.
func newManualCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "manual DIR",
		Short:  "Write manual pages (DIR/man/man1) and completions of shells (DIR/completion)",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			root := newRootCommand()
			if err := writeManPages(root, filepath.Join(args[0], "man", "man1")); err != nil {
				return fmt.Errorf("manual pages: %w", err)
			}
			if err := writeCompletions(root, filepath.Join(args[0], "completion")); err != nil {
				return fmt.Errorf("completions: %w", err)
			}
			return nil
		},
	}
}

// writeManPages writes one page for each visible command, kedge-token-create.1 for
// kedge token create. Their date is that of the sources: the same sources give the
// same pages.
func writeManPages(root *cobra.Command, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	header := &doc.GenManHeader{Section: "1", Source: "kedge " + version.Kedge, Manual: "kedge"}
	date, err := time.Parse(time.RFC3339, version.Date)
	if err != nil {
		date = time.Unix(0, 0)
	}
	date = date.UTC()
	header.Date = &date
	root.DisableAutoGenTag = true
	asWritten(root)
	return doc.GenManTree(root, header, dir)
}

// asWritten keeps the names of variables in the descriptions of c and all below it:
// what makes pages of them would take underscores and stars for emphasis, but for
// lines of code, which are indented.
func asWritten(c *cobra.Command) {
	var long strings.Builder
	for line := range strings.Lines(c.Long) {
		if !strings.HasPrefix(line, "\t") && !strings.HasPrefix(line, "    ") {
			line = strings.NewReplacer("_", `\_`, "*", `\*`).Replace(line)
		}
		long.WriteString(line)
	}
	c.Long = long.String()
	for _, child := range c.Commands() {
		asWritten(child)
	}
}

// writeCompletions writes the files under the names by which shells look for them.
func writeCompletions(root *cobra.Command, dir string) error {
	for name, write := range map[string]func(path string) error{
		"bash/kedge":      func(path string) error { return root.GenBashCompletionFileV2(path, true) },
		"zsh/_kedge":      root.GenZshCompletionFile,
		"fish/kedge.fish": func(path string) error { return root.GenFishCompletionFile(path, true) },
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := write(path); err != nil {
			return err
		}
	}
	return nil
}
