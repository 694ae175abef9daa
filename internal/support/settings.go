package support

import (
	"os"
	"regexp"
	"strconv"
	"strings"
)

// installExec is the variable in which the installer keeps arguments.
const installExec = "KEDGE_INSTALL_EXEC"

var (
	// fileOf ends the name of a setting that says in which file a secret is.
	fileOf = regexp.MustCompile(`(?i)[_-]file$`)
	// structured ends that of one whose file has secrets among other things.
	structured = regexp.MustCompile(`(?i)(?:private[_-]registry|config)$`)

	// table begins a table of TOML, not a line of a list.
	table      = regexp.MustCompile(`^\[[A-Za-z_]`)
	tableKey   = regexp.MustCompile(`^(?:"[^"]*"|'[^']*'|[\w-]+)\s*=`)
	quotedText = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|'[^']*'`)
	// word is one of a line of arguments.
	word = regexp.MustCompile(`(?:"[^"]*"|'[^']*'|[^\s"'])+`)
)

// LearnSetting learns the value of a setting as [Redactor.LearnEnv] does, and what is
// in the file that it names, such as that of KEDGE_TOKEN_FILE or --token-file.
func (r *Redactor) LearnSetting(name, value string) {
	r.LearnEnv([]string{name + "=" + value})
	what := fileOf.ReplaceAllString(name, "")
	switch {
	case value == "":
	case what != name && tellingName.MatchString(what):
		r.learnLines(value)
	case structured.MatchString(name):
		r.LearnFile(value)
	}
}

// learnLines learns the lines of a file that is nothing but a secret.
func (r *Redactor) learnLines(path string) {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxSecretFile {
		return
	}
	if text, err := os.ReadFile(path); err == nil {
		r.Learn(string(text))
	}
}

// LearnEnvFile learns the settings of a file of lines NAME=VALUE, as services read
// it, and those among the arguments that the installer keeps in it.
func (r *Redactor) LearnEnvFile(path string) {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxSecretFile {
		return
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return
	}
	for line := range strings.Lines(string(text)) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		name, value = strings.TrimPrefix(name, "export "), unquoted(value)
		r.LearnSetting(name, value)
		if name == installExec {
			r.learnArguments(value)
		}
	}
}

// learnArguments learns --NAME=VALUE and --NAME VALUE.
func (r *Redactor) learnArguments(line string) {
	words := word.FindAllString(line, -1)
	for i, w := range words {
		name, value, ok := strings.Cut(unquoted(w), "=")
		if !ok && i+1 < len(words) {
			value = unquoted(words[i+1])
		}
		if strings.HasPrefix(name, "-") {
			r.LearnSetting(name, unquoted(value))
		}
	}
}

// unquoted is a value without the quotes around it.
func unquoted(v string) string {
	if n := len(v); n > 1 && (v[0] == '\'' || v[0] == '"') && v[n-1] == v[0] {
		return v[1 : n-1]
	}
	return v
}

// learnHeaders learns what is sent to registries: all values in the tables
// "header" of a hosts.toml, such as the key of the proxy.
func (r *Redactor) learnHeaders(text string) {
	in := false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if table.MatchString(line) {
			in = line == "[header]" || strings.HasSuffix(line, ".header]")
			continue
		}
		if !in {
			continue
		}
		for _, q := range quotedText.FindAllString(tableKey.ReplaceAllString(line, ""), -1) {
			plain, err := strconv.Unquote(q)
			if err != nil {
				plain = unquoted(q)
			}
			_, credential, _ := strings.Cut(plain, " ") // of Basic or Bearer
			r.Learn(plain, credential)
			r.learnPassword(credential)
		}
	}
}
