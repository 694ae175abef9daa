package config

import (
	"strings"

	"github.com/spf13/pflag"
)

// Peek returns the single value that environment and files give key, or "" when
// they do not name it. It is for commands that take no options of their own but
// must find the daemon, such as the embedded kubectl: nothing is checked, and
// files that cannot be read or are wrong count as absent.
func Peek(key string, o Options) string {
	l := &loader{opts: o, fs: pflag.NewFlagSet("", pflag.ContinueOnError)}
	if value := l.envOf(key); value != "" {
		return value
	}
	file, _ := l.file()
	paths, err := findFiles(file, false)
	if err != nil {
		return ""
	}
	value := ""
	for _, path := range paths {
		entries, _ := readFile(path) // a wrong file is the daemon's to report
		for _, e := range entries {
			if e.key == key && !e.list && !e.extend {
				value = strings.TrimSpace(e.items[0].text)
			}
		}
	}
	return value
}
