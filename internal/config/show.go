package config

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"go.yaml.in/yaml/v3"
)

// Formats are the names that Write accepts.
var Formats = []string{"table", "yaml", "json"}

// Write prints the values in one of Formats. The YAML form is itself a
// configuration file, with the origins as comments; masked secrets and the name
// of the file are commented out, so that it is accepted as it stands.
func (r *Resolved) Write(w io.Writer, format string) error {
	switch format {
	case "table":
		return r.writeTable(w)
	case "yaml":
		return r.writeYAML(w)
	case "json":
		return r.writeJSON(w)
	default:
		return fmt.Errorf("output format %q: expected one of %v", format, Formats)
	}
}

func (r *Resolved) writeTable(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(tw, "KEY\tVALUE\tORIGIN")
	for _, v := range r.Values {
		text := v.Value
		if text == "" {
			text = "-"
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\n", v.Key, text, v.Origin)
	}
	return tw.Flush()
}

func (r *Resolved) writeYAML(w io.Writer) error {
	for _, v := range r.Values {
		var n yaml.Node
		if err := n.Encode(v.typed()); err != nil {
			return fmt.Errorf("encode %s: %w", v.Key, err)
		}
		n.Style = yaml.FlowStyle
		text, err := yaml.Marshal(&n)
		if err != nil {
			return fmt.Errorf("encode %s: %w", v.Key, err)
		}
		comment := ""
		if (v.Secret && v.Value != "") || v.Key == FileFlag {
			comment = "# "
		}
		if _, err := fmt.Fprintf(w, "%s%s: %s # %s\n", comment, v.Key, trimNewline(text), v.Origin); err != nil {
			return err
		}
	}
	return nil
}

func trimNewline(text []byte) []byte {
	for len(text) > 0 && text[len(text)-1] == '\n' {
		text = text[:len(text)-1]
	}
	return text
}

func (r *Resolved) writeJSON(w io.Writer) error {
	type value struct {
		Key    string `json:"key"`
		Value  any    `json:"value"`
		Origin string `json:"origin"`
		Secret bool   `json:"secret,omitempty"`
	}
	values := make([]value, 0, len(r.Values))
	for _, v := range r.Values {
		values = append(values, value{v.Key, v.typed(), v.Origin, v.Secret})
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(struct {
		Files  []string `json:"files"`
		Values []value  `json:"values"`
	}{append([]string{}, r.Files...), values})
}
