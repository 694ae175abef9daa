package config

import (
	"sort"
	"strings"

	"github.com/spf13/pflag"
)

// EnvPrefix starts every environment variable of kedge.
const EnvPrefix = "KEDGE_"

// foreignEnv are the prefixes of variables that other parts of the project
// read: the install script, the tests (KEDGE_BINARY is the program that they
// run), the process's own re-executions, and cmd/launcher's word of the file
// that was installed.
var foreignEnv = []string{
	EnvPrefix + "INSTALL_", EnvPrefix + "TEST_", EnvPrefix + "INTERNAL_", EnvPrefix + "BINARY", EnvPrefix + "LAUNCHER",
}

// EnvName returns the environment variable of the flag called name.
func EnvName(name string) string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// applyEnv sets every flag that the command line left alone and that has a
// variable. An empty variable counts as absent: unit files and shells make
// such easily.
func (l *loader) applyEnv() {
	set := l.envOfFlags()
	l.fs.VisitAll(func(f *pflag.Flag) {
		v, ok := set[f.Name]
		if !ok || l.origins[f.Name] != "" {
			return
		}
		if err := setFromEnv(f, v.value); err != nil {
			l.fail("environment variable %s: %w", v.name, err)
			return
		}
		f.Changed = true
		l.origins[f.Name] = "env " + v.name
	})
}

type envValue struct{ name, value string }

// envOfFlags finds the variables of all flags and refuses the unknown.
func (l *loader) envOfFlags() map[string]envValue {
	flags := l.envNames()
	found := map[string]envValue{}
	for _, v := range kedgeEnv(l.environ()) {
		key, ok := flags[v.name]
		switch {
		case !ok:
			l.unknownEnv(v.name, flags)
		case found[key].name != "" && found[key].value != v.value:
			l.fail("environment variables %s and %s set the same option to different values: unset one of them",
				found[key].name, v.name)
		default:
			found[key] = v
		}
	}
	return found
}

// envNames maps the variables that the command knows to its flags.
func (l *loader) envNames() map[string]string {
	names := map[string]string{}
	l.fs.VisitAll(func(f *pflag.Flag) {
		if IsOption(f) {
			names[EnvName(f.Name)] = f.Name
		}
	})
	for alias, key := range l.opts.Aliases {
		if l.option(key) != nil {
			names[alias] = key
		}
	}
	return names
}

// envOf returns what the environment gives key, whether or not the command has
// such a flag.
func (l *loader) envOf(key string) string {
	for _, v := range kedgeEnv(l.environ()) {
		if v.name == EnvName(key) || l.opts.Aliases[v.name] == key {
			return v.value
		}
	}
	return ""
}

func (l *loader) unknownEnv(name string, known map[string]string) {
	if l.opts.Partial {
		return
	}
	key, ok := l.opts.Aliases[name]
	if !ok {
		key = strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(name, EnvPrefix), "_", "-"))
	}
	if owners := l.owners(key); len(owners) > 0 {
		l.fail("environment variable %s is an option of %q, not of %q: unset it", name, strings.Join(owners, ", "), l.command)
		return
	}
	var names []string
	for n := range known {
		names = append(names, n)
	}
	sort.Strings(names)
	l.fail("environment variable %s is no option of %q%s", name, l.command, hint(didYouMean(name, names), ": unset it"))
}

// hint is the suggestion when there is one, else the other remedy.
func hint(suggestion, otherwise string) string {
	if suggestion != "" {
		return suggestion
	}
	return otherwise
}

// kedgeEnv returns kedge's own non-empty variables sorted by name; of a name
// that occurs twice the last counts.
func kedgeEnv(environ []string) []envValue {
	values := map[string]string{}
	for _, pair := range environ {
		name, value, ok := strings.Cut(pair, "=")
		if ok && strings.HasPrefix(name, EnvPrefix) && !isForeign(name) {
			values[name] = value
		}
	}
	var list []envValue
	for name, value := range values {
		if value != "" {
			list = append(list, envValue{name, value})
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].name < list[j].name })
	return list
}

func isForeign(name string) bool {
	for _, prefix := range foreignEnv {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}
