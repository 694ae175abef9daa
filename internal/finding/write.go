package finding

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// WriteTable prints findings for people, the worst first: those that are well only
// if all is given. It sorts the list.
func WriteTable(w io.Writer, list []Finding, all bool) error {
	Sort(list)
	for _, f := range list {
		if f.Severity == OK {
			continue
		}
		fmt.Fprintf(w, "%-8s %s: %s\n", f.Severity, f.ID, oneLine(f.What))
		for _, part := range []struct{ head, text string }{{"why", f.Why}, {"without", f.Without}, {"remedy", f.Remedy}} {
			if part.text != "" {
				fmt.Fprintf(w, "%8s %s: %s\n", "", part.head, oneLine(part.text))
			}
		}
	}
	if all {
		tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, f := range list {
			if f.Severity == OK {
				fmt.Fprintf(tw, "ok\t%s\t%s\n", f.ID, oneLine(f.What))
			}
		}
		if err := tw.Flush(); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(w, Summary(list))
	return err
}

// Summary is a line with the numbers.
func Summary(list []Finding) string {
	return fmt.Sprintf("%d errors, %d warnings, %d notes, %d well",
		Count(list, Error), Count(list, Warning), Count(list, Info), Count(list, OK))
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// Markdown is the table of the documents.
func Markdown() string {
	var b strings.Builder
	b.WriteString("| finding | about | why it matters | without it | what helps |\n|---|---|---|---|---|\n")
	for _, e := range Catalogue() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", e.ID, cell(e.About), cell(e.Why), cell(e.Without), cell(e.Remedy))
	}
	return b.String()
}

func cell(text string) string {
	if text == "" {
		return "-"
	}
	return strings.ReplaceAll(text, "|", `\|`)
}
