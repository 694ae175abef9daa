package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxFileSize bounds what is read of one file, in bytes.
const maxFileSize = 1 << 20

// scalar is one plain value of a file.
type scalar struct {
	text string // as written, without quotes
	tag  string // the type it has in YAML: !!str, !!int, !!bool, ...
}

// entry is one key of a file.
type entry struct {
	key    string
	extend bool // the key was written with a trailing "+"
	list   bool
	items  []scalar // exactly one unless list
	file   string
	line   int
}

func (e entry) place() string { return fmt.Sprintf("%s:%d", e.file, e.line) }

// decode reads the keys of one file, in their order. It accepts one mapping of
// plain values and flat lists; everything else is a problem, and all are
// returned joined, each starting with file:line.
func decode(file string, data []byte) ([]entry, error) {
	if len(data) > maxFileSize {
		return nil, fmt.Errorf("%s: larger than %d bytes", file, maxFileSize)
	}
	root, err := document(file, data)
	if root == nil || err != nil {
		return nil, err
	}
	var entries []entry
	var problems []error
	first := map[string]int{}
	for i := 0; i+1 < len(root.Content); i += 2 {
		e, err := decodeEntry(file, root.Content[i], root.Content[i+1])
		if err != nil {
			problems = append(problems, err)
			continue
		}
		id := fmt.Sprintf("%s %v", e.key, e.extend)
		if line, ok := first[id]; ok {
			problems = append(problems, fmt.Errorf("%s: %q is set twice, first on line %d: keep one", e.place(), e.key, line))
			continue
		}
		first[id] = e.line
		entries = append(entries, e)
	}
	return entries, errors.Join(problems...)
}

var yamlLine = regexp.MustCompile(`^yaml: line (\d+): `)

// document returns the only document's mapping, nil for an empty file.
func document(file string, data []byte) (*yaml.Node, error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, syntaxError(file, err)
	}
	switch err := dec.Decode(&second); {
	case err == nil:
		return nil, fmt.Errorf("%s:%d: a second document: put all keys into one", file, second.Line)
	case !errors.Is(err, io.EOF):
		return nil, syntaxError(file, err)
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		return nil, nil
	}
	root := doc.Content[0]
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" {
		return nil, nil
	}
	if root.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("%s:%d: expected lines of the form \"key: value\"", file, root.Line)
	}
	return root, nil
}

func syntaxError(file string, err error) error {
	text := err.Error()
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		return fmt.Errorf("%s:%s: not valid YAML: %s", file, m[1], text[len(m[0]):])
	}
	return fmt.Errorf("%s: not valid YAML: %s", file, strings.TrimPrefix(text, "yaml: "))
}

func decodeEntry(file string, key, value *yaml.Node) (entry, error) {
	e := entry{key: key.Value, file: file, line: key.Line}
	if key.Kind != yaml.ScalarNode || key.Value == "" {
		return e, fmt.Errorf("%s: a key must be the name of an option", e.place())
	}
	if name, ok := strings.CutSuffix(e.key, "+"); ok {
		e.key, e.extend = name, true
	}
	value = target(value)
	switch value.Kind {
	case yaml.ScalarNode:
		s, err := plain(e, value)
		e.items = []scalar{s}
		return e, err
	case yaml.SequenceNode:
		e.list = true
		for _, n := range value.Content {
			s, err := plain(e, target(n))
			if err != nil {
				return e, err
			}
			e.items = append(e.items, s)
		}
		return e, nil
	default:
		return e, fmt.Errorf("%s: %s: expected a value or a list, not nested keys", e.place(), e.key)
	}
}

// target follows a YAML alias to what it stands for.
func target(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
}

func plain(e entry, n *yaml.Node) (scalar, error) {
	if n.Kind != yaml.ScalarNode {
		return scalar{}, fmt.Errorf("%s:%d: %s: list items must be plain values", e.file, n.Line, e.key)
	}
	if n.Tag == "!!null" {
		return scalar{}, fmt.Errorf("%s:%d: %s: has no value: give one or remove the key", e.file, n.Line, e.key)
	}
	return scalar{text: n.Value, tag: n.Tag}, nil
}
