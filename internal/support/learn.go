package support

import (
	"encoding/base64"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// maxSecretFile bounds a file that is learned from, in bytes.
const maxSecretFile = 1 << 20

var tellingName = regexp.MustCompile(`(?i)` + telling)

// LearnTree learns what files below dir hold: keys, tokens, kubeconfigs, passwords.
// Certificates are public. What cannot be read cannot be told either.
func (r *Redactor) LearnTree(dir string) {
	_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() || strings.HasSuffix(path, ".crt") {
			return nil //nolint:nilerr // the rest is worth looking at
		}
		r.LearnFile(path)
		return nil
	})
}

// LearnFile learns a file: what is YAML or JSON by its telling names, of TOML all
// values of headers, all else line by line.
func (r *Redactor) LearnFile(path string) {
	info, err := os.Stat(path)
	if err != nil || info.Size() > maxSecretFile {
		return
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return
	}
	if filepath.Ext(path) == ".toml" {
		r.learnHeaders(string(text))
		return
	}
	var tree yaml.Node
	if yaml.Unmarshal(text, &tree) == nil && len(tree.Content) > 0 && tree.Content[0].Kind != yaml.ScalarNode {
		r.learnNode(&tree, false)
		return
	}
	r.Learn(string(text))
}

// learnNode learns scalars below telling names.
func (r *Redactor) learnNode(n *yaml.Node, secret bool) {
	switch n.Kind {
	case yaml.ScalarNode:
		if secret && !plain(n.Value) {
			r.Learn(n.Value)
			r.learnPassword(n.Value)
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			name := n.Content[i].Value
			r.learnNode(n.Content[i+1], secret && !harmless.MatchString(name) || tellingName.MatchString(name) && !harmless.MatchString(name))
		}
	default:
		for _, c := range n.Content {
			r.learnNode(c, secret)
		}
	}
}

// learnPassword learns the second half of USER:PASSWORD in base64, as auth of a
// registry has it.
func (r *Redactor) learnPassword(v string) {
	if plain, err := base64.StdEncoding.DecodeString(v); err == nil && utf8.Valid(plain) {
		_, password, _ := strings.Cut(string(plain), ":")
		r.Learn(password)
	}
}

// LearnEnv learns the values of variables with telling names, and passwords in
// those of others, such as HTTPS_PROXY.
func (r *Redactor) LearnEnv(environ []string) {
	for _, v := range environ {
		name, value, _ := strings.Cut(v, "=")
		if tellingName.MatchString(name) && !harmless.MatchString(name) {
			r.Learn(value)
		}
		if _, rest, ok := strings.Cut(value, "://"); ok {
			if user, _, ok := strings.Cut(rest, "@"); ok {
				_, password, _ := strings.Cut(user, ":")
				r.Learn(password)
				if plain, err := url.PathUnescape(password); err == nil {
					r.Learn(plain)
				}
			}
		}
	}
}
