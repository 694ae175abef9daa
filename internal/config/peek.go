package config

import "strings"

// Peek returns the single value that environment and files give key, or "" when
// they do not name it. It is for commands that take no options of their own but
// must find the daemon, such as the embedded kubectl: nothing is checked, and
// files that cannot be read or are wrong count as absent.
func Peek(key string, o Options) string {
	l := &loader{opts: o}
	env := map[string]string{}
	for _, v := range kedgeEnv(l.environ()) {
		env[v.name] = v.value
	}
	if value := env[EnvName(key)]; value != "" {
		return value
	}
	for alias, name := range o.Aliases {
		if name == key && env[alias] != "" {
			return env[alias]
		}
	}
	file := DefaultFile
	for _, name := range append(aliasesOf(FileFlag, o.Aliases), EnvName(FileFlag)) {
		if env[name] != "" {
			file = env[name]
		}
	}
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

func aliasesOf(key string, aliases map[string]string) []string {
	var names []string
	for alias, name := range aliases {
		if name == key {
			names = append(names, alias)
		}
	}
	return names
}
