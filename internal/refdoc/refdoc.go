package refdoc

import (
	"fmt"
	"sort"
	"strings"

	"github.com/kedge-io/kedge/internal/config"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// notice heads every page.
const notice = "<!-- Generated from the commands; change those, then run: make docs -->\n\n"

// Pages returns the pages of root's visible commands by file name:
// "kedge_token_create.md" for kedge token create, and README.md for the index.
func Pages(root *cobra.Command) map[string][]byte {
	pages := map[string][]byte{}
	var index strings.Builder
	index.WriteString(notice + "# Reference\n\n- [Options: keys, flags and environment](configuration.md)\n- [Exit codes](exit-codes.md)\n\n## Commands\n\n")
	walk(root, func(c *cobra.Command) {
		pages[fileName(c)] = []byte(page(c))
		fmt.Fprintf(&index, "- [`%s`](%s): %s\n", c.CommandPath(), fileName(c), sentence(c.Short))
	})
	pages["README.md"] = []byte(index.String())
	return pages
}

// walk visits c and its visible descendants, parents first.
func walk(c *cobra.Command, visit func(*cobra.Command)) {
	visit(c)
	for _, child := range visible(c) {
		walk(child, visit)
	}
}

func visible(c *cobra.Command) []*cobra.Command {
	var list []*cobra.Command
	for _, child := range c.Commands() {
		if !child.Hidden && child.Name() != "help" && child.Deprecated == "" {
			list = append(list, child)
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Name() < list[j].Name() })
	return list
}

func fileName(c *cobra.Command) string {
	return strings.ReplaceAll(c.CommandPath(), " ", "_") + ".md"
}

func page(c *cobra.Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s# %s\n\n%s\n", notice, c.CommandPath(), sentence(c.Short))
	if c.Long != "" && c.Long != c.Short {
		fmt.Fprintf(&b, "\n%s\n", plain(c.Long))
	}
	fmt.Fprintf(&b, "\n```\n%s\n```\n", c.UseLine())
	if c.Example != "" {
		fmt.Fprintf(&b, "\n## Examples\n\n```\n%s\n```\n", strings.Trim(c.Example, "\n"))
	}
	if c.DisableFlagParsing {
		fmt.Fprintf(&b, "\nArguments and flags are those of the embedded program: `%s --help` lists them.\n", c.CommandPath())
	} else if flags := pageFlags(c); len(flags) > 0 {
		b.WriteString("\n## Flags\n\n| flag | default | meaning |\n|---|---|---|\n")
		for _, f := range flags {
			fmt.Fprintf(&b, "| %s | %s | %s |\n", flagCell(f), defaultCell(f), cell(f.Usage))
		}
	}
	if children := visible(c); len(children) > 0 {
		b.WriteString("\n## Commands\n\n")
		for _, child := range children {
			fmt.Fprintf(&b, "- [`%s`](%s): %s\n", child.CommandPath(), fileName(child), sentence(child.Short))
		}
	}
	return b.String()
}

// plain keeps the lines of a help text; its indented blocks become code by
// Markdown's own rule, so only tabs need care.
func plain(text string) string { return strings.ReplaceAll(strings.TrimSpace(text), "\t", "    ") }

func pageFlags(c *cobra.Command) []*pflag.Flag {
	var flags []*pflag.Flag
	add := func(f *pflag.Flag) {
		if !f.Hidden && f.Name != "help" {
			flags = append(flags, f)
		}
	}
	c.NonInheritedFlags().VisitAll(add)
	c.InheritedFlags().VisitAll(add)
	sort.Slice(flags, func(i, j int) bool { return flags[i].Name < flags[j].Name })
	return flags
}

func flagCell(f *pflag.Flag) string {
	name := "--" + f.Name
	if f.Value.Type() != "bool" {
		name += " " + typeName(f)
	}
	if f.Shorthand != "" {
		name = "-" + f.Shorthand + ", " + name
	}
	return "`" + name + "`"
}

// typeName is the kind of value in one word that a reader knows.
func typeName(f *pflag.Flag) string {
	switch t := f.Value.Type(); {
	case t == "stringSlice" || t == "stringArray":
		return "list"
	case strings.HasPrefix(t, "int") || strings.HasPrefix(t, "uint"):
		return "number"
	default:
		return t
	}
}

func defaultCell(f *pflag.Flag) string {
	switch value := f.DefValue; {
	case value == "" || value == "[]" || value == "<nil>" || config.IsSecret(f):
		return ""
	default:
		return "`" + cell(value) + "`"
	}
}

// cell makes text fit a table cell.
func cell(text string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(text), " "), "|", `\|`)
}

// sentence makes a short description end like one.
func sentence(text string) string {
	if text == "" || strings.HasSuffix(text, ".") {
		return text
	}
	return text + "."
}
