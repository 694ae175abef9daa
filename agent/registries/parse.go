package registries

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/kedge-io/kedge/internal/config"
)

// maxFile bounds what is read of registries.yaml, in bytes.
const maxFile = 1 << 20

// parser collects the problems of one file.
type parser struct {
	file     string
	problems []error
}

// Parse reads the text of a registries.yaml; file is its name for errors, which
// are all returned joined, each with its line. No error quotes a secret. An empty
// text is an error: it is what an interrupted write leaves, and a file that is to
// mean nothing can be removed or say {}.
func Parse(file string, text []byte) (Settings, error) {
	s := Settings{Mirrors: map[string]Mirror{}, Hosts: map[string]Host{}}
	if len(text) > maxFile {
		return s, fmt.Errorf("%s: larger than %d bytes", file, maxFile)
	}
	p := &parser{file: file}
	root, err := p.document(text)
	if err != nil {
		return s, err
	}
	p.mapping(root, "the file", map[string]func(*yaml.Node){
		"mirrors": func(n *yaml.Node) { p.mirrors(n, s.Mirrors) },
		"configs": func(n *yaml.Node) { p.hosts(n, s.Hosts) },
	})
	return s, errors.Join(p.problems...)
}

func (p *parser) fail(n *yaml.Node, format string, args ...any) {
	p.problems = append(p.problems, fmt.Errorf("%s:%d: %w", p.file, n.Line, fmt.Errorf(format, args...)))
}

var yamlLine = regexp.MustCompile(`^yaml: line (\d+): `)

func (p *parser) document(text []byte) (*yaml.Node, error) {
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var doc, second yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, fmt.Errorf("%s: the file is empty: write {} or remove the file if nothing is to be set", p.file)
	case err != nil:
		return nil, p.syntax(err)
	}
	if err := dec.Decode(&second); !errors.Is(err, io.EOF) {
		if err != nil {
			return nil, p.syntax(err)
		}
		return nil, fmt.Errorf("%s:%d: a second document: put all keys into one", p.file, second.Line)
	}
	root := doc.Content[0]
	if root.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("%s:%d: expected the keys \"mirrors:\" and \"configs:\"", p.file, root.Line)
	}
	return root, nil
}

// syntax words an error of the YAML reader. Its text quotes words of the file only
// for tags and anchors, never values.
func (p *parser) syntax(err error) error {
	text := err.Error()
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		return fmt.Errorf("%s:%s: not valid YAML: %s", p.file, m[1], text[len(m[0]):])
	}
	return fmt.Errorf("%s: not valid YAML: %s", p.file, strings.TrimPrefix(text, "yaml: "))
}

// mapping hands the value of each key to its function. where says what has the
// keys.
func (p *parser) mapping(n *yaml.Node, where string, keys map[string]func(*yaml.Node)) {
	var names []string
	for name := range keys {
		names = append(names, name)
	}
	p.each(n, where, func(key, value *yaml.Node) {
		if take, ok := keys[key.Value]; ok {
			take(value)
			return
		}
		p.fail(key, "%s: unknown key %q%s", where, key.Value, didYouMean(key.Value, names))
	})
}

// each calls take for the keys of a mapping. A missing value is an empty mapping.
func (p *parser) each(n *yaml.Node, where string, take func(key, value *yaml.Node)) {
	n = target(n)
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return
	}
	if n.Kind != yaml.MappingNode {
		p.fail(n, "%s: expected keys with values", where)
		return
	}
	first := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], target(n.Content[i+1])
		if key.Kind != yaml.ScalarNode || key.Value == "" {
			p.fail(key, "%s: a key must be one word", where)
			continue
		}
		if line, twice := first[key.Value]; twice {
			p.fail(key, "%s: %q is there twice, first on line %d: keep one", where, key.Value, line)
			continue
		}
		first[key.Value] = key.Line
		take(key, value)
	}
}

// text is a plain value; quoted ones may look like anything.
func (p *parser) text(n *yaml.Node, where string) string {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		p.fail(n, "%s: expected a text", where)
		return ""
	}
	return n.Value
}

func (p *parser) list(n *yaml.Node, where string) []*yaml.Node {
	switch {
	case n.Kind == yaml.SequenceNode:
		var out []*yaml.Node
		for _, item := range n.Content {
			out = append(out, target(item))
		}
		return out
	case n.Kind == yaml.ScalarNode && n.Tag == "!!null":
		return nil
	}
	p.fail(n, "%s: expected a list, one line of the form \"- VALUE\" for each", where)
	return nil
}

// target follows a YAML alias to what it stands for.
func target(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
}

func didYouMean(word string, known []string) string {
	if n := config.Nearest(word, known); n != "" {
		return fmt.Sprintf(", did you mean %q?", n)
	}
	return ""
}
