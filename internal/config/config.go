package config

import (
	"errors"
	"fmt"
	"os"
	"sort"

	"github.com/kedge-io/kedge/internal/paths"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Words shared with the commands and the reference.
const (
	// DefaultFile is read when --config is not given; it may be missing.
	DefaultFile = paths.DefaultConfigFile
	// FileFlag is the flag that names another file, which must then exist.
	FileFlag = "config"
	// Mask stands for the value of a secret wherever values are shown.
	Mask = "********"
)

const (
	secretAnnotation      = "kedge_secret"
	commandLineAnnotation = "kedge_command_line_only"
)

// Options say where Load looks besides the command line.
type Options struct {
	// Env holds KEY=VALUE pairs; nil stands for the environment of the process.
	Env []string
	// Aliases maps further environment variables to flag names, for example
	// KEDGE_URL to server. A name without such a flag is not known.
	Aliases map[string]string
	// Others are the options of other commands by command path ("kedge
	// server"). Their keys are refused like unknown ones, but by naming the
	// command they belong to.
	Others map[string]*pflag.FlagSet
	// Partial is for commands that share only some options with the daemon
	// whose files they read: keys and variables that are no flags of the
	// command are passed over instead of refused.
	Partial bool
}

// Value is one option after Load.
type Value struct {
	// Key is the name of the flag.
	Key string
	// Type is the type as pflag names it: string, bool, int, duration, ...
	Type string
	// Value is the text of a single value; for a list its items joined by
	// commas. Mask for a secret that is set.
	Value string
	// Items are the items of a list, nil for a single value. Masked likewise.
	Items []string
	// Origin is where the value came from: "flag", "env KEDGE_X",
	// "/etc/kedge/config.yaml:12" (several for an appended list, joined by
	// ", "), or "default".
	Origin string
	// Secret says that Value and Items are masked.
	Secret bool
}

// Resolved is what Load found. It holds no secrets and may be printed.
type Resolved struct {
	// Values are sorted by key.
	Values []Value
	// Files are the configuration files that were read, in order.
	Files []string
	// Warnings are one-line remarks that do not stop a start, such as a file
	// with a secret that everybody can read.
	Warnings []string
}

// Origin returns where the value of key came from, "" for an unknown key.
func (r *Resolved) Origin(key string) string {
	for _, v := range r.Values {
		if v.Key == key {
			return v.Origin
		}
	}
	return ""
}

// MarkSecret hides the values of the named flags wherever values are shown. It
// panics on a name that fs does not have: that is an error of the program.
func MarkSecret(fs *pflag.FlagSet, names ...string) { annotate(fs, secretAnnotation, names) }

// MarkCommandLineOnly keeps the named flags out of files and environment, for
// flags such as --yes that mean one call only. It panics like MarkSecret.
func MarkCommandLineOnly(fs *pflag.FlagSet, names ...string) {
	annotate(fs, commandLineAnnotation, names)
}

func annotate(fs *pflag.FlagSet, annotation string, names []string) {
	for _, name := range names {
		if err := fs.SetAnnotation(name, annotation, []string{"true"}); err != nil {
			panic(fmt.Sprintf("config: mark flag: %v", err))
		}
	}
}

// IsSecret reports whether f was marked with MarkSecret.
func IsSecret(f *pflag.Flag) bool { return f.Annotations[secretAnnotation] != nil }

// IsOption reports whether f can be set by environment, and by a file unless it
// is the flag that names the file.
func IsOption(f *pflag.Flag) bool {
	return f.Name != "help" && f.Annotations[commandLineAnnotation] == nil
}

// Load sets the flags of cmd, whose command line was parsed, from environment
// and files and reports where every value came from. Flags that it sets count
// as changed. The error joins all problems; flags may be half set then.
func Load(cmd *cobra.Command, o Options) (*Resolved, error) {
	fs := cmd.Flags()
	l := &loader{command: cmd.CommandPath(), fs: fs, opts: o, origins: map[string]string{}}
	fs.VisitAll(func(f *pflag.Flag) {
		if f.Changed {
			l.origins[f.Name] = "flag"
		}
	})
	l.applyEnv()
	l.applyFiles()
	if err := errors.Join(l.problems...); err != nil {
		return nil, err
	}
	return &Resolved{Values: l.values(), Files: l.files, Warnings: l.warnings}, nil
}

// loader is the state of one Load.
type loader struct {
	command  string
	fs       *pflag.FlagSet
	opts     Options
	origins  map[string]string // by flag name; absent means default
	files    []string
	warnings []string
	problems []error
}

func (l *loader) fail(format string, args ...any) {
	l.problems = append(l.problems, fmt.Errorf(format, args...))
}

func (l *loader) environ() []string {
	if l.opts.Env != nil {
		return l.opts.Env
	}
	return os.Environ()
}

// option returns the flag that key names when it may come from outside the
// command line, else nil.
func (l *loader) option(key string) *pflag.Flag {
	if f := l.fs.Lookup(key); f != nil && IsOption(f) {
		return f
	}
	return nil
}

// owners returns the other commands that have key, sorted.
func (l *loader) owners(key string) []string {
	var paths []string
	for path, fs := range l.opts.Others {
		if f := fs.Lookup(key); f != nil && IsOption(f) {
			paths = append(paths, path)
		}
	}
	sort.Strings(paths)
	return paths
}

// known returns the names of all options, those of other commands included, so
// that a misspelt key of another command is recognised too.
func (l *loader) known() []string {
	var names []string
	add := func(f *pflag.Flag) {
		if IsOption(f) && !f.Hidden {
			names = append(names, f.Name)
		}
	}
	l.fs.VisitAll(add)
	for _, fs := range l.opts.Others {
		fs.VisitAll(add)
	}
	sort.Strings(names)
	return names
}

func (l *loader) values() []Value {
	var values []Value
	l.fs.VisitAll(func(f *pflag.Flag) {
		if !IsOption(f) {
			return
		}
		origin := l.origins[f.Name]
		if origin == "" {
			origin = "default"
		}
		values = append(values, show(f, origin))
	})
	sort.Slice(values, func(i, j int) bool { return values[i].Key < values[j].Key })
	return values
}
