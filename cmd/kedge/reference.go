package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/kedge-io/kedge/internal/refdoc"
	"github.com/spf13/cobra"
)

// newReferenceCommand makes the hidden command that writes docs/reference.
func newReferenceCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "reference DIR",
		Short:  "Write the reference of all commands and options",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE:   func(_ *cobra.Command, args []string) error { return writeReference(args[0]) },
	}
}

// referencePages is the whole of docs/reference by file name.
func referencePages() map[string][]byte {
	pages := refdoc.Pages(newRootCommand())
	pages["configuration.md"] = refdoc.Options(envAliases, newServerCommand(), newAgentCommand())
	pages["exit-codes.md"] = []byte(exitCodesPage())
	return pages
}

// writeReference writes the pages and removes those of commands that are gone.
func writeReference(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("reference: %w", err)
	}
	pages := referencePages()
	for name, text := range pages {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return fmt.Errorf("reference: %w", err)
		}
	}
	old, err := filepath.Glob(filepath.Join(dir, "*.md"))
	if err != nil {
		return fmt.Errorf("reference: %w", err)
	}
	for _, path := range old {
		if pages[filepath.Base(path)] != nil {
			continue
		}
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("reference: %w", err)
		}
	}
	return nil
}
