package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"strings"

	"github.com/spf13/pflag"

	"github.com/kedge-io/kedge/internal/config"
)

const (
	// serviceFile is where the install script keeps what the service kedge is started
	// with. Commands that a person gives do not have it in their environment.
	serviceFile = "/etc/kedge/kedge.env"
	// installExec is the variable in it that has the arguments.
	installExec = "KEDGE_INSTALL_EXEC"
)

// service is how the service is started. Its role is empty where that is not known.
type service struct {
	role  string
	flags []string
	env   map[string]string
}

// argument is one of [installExec], as systemd and the install script read it.
var argument = regexp.MustCompile(`(?:"[^"]*"|[^\s"])+`)

func readService(path string) (service, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return service{}, err
	}
	s := service{env: map[string]string{}}
	for line := range strings.Lines(string(text)) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if ok && !strings.HasPrefix(name, "#") {
			s.env[name] = withoutQuotes(value)
		}
	}
	for _, a := range argument.FindAllString(s.env[installExec], -1) {
		s.flags = append(s.flags, strings.ReplaceAll(a, `"`, ""))
	}
	if len(s.flags) > 0 && (s.flags[0] == "server" || s.flags[0] == "agent") {
		s.role, s.flags = s.flags[0], s.flags[1:]
	}
	return s, nil
}

func withoutQuotes(v string) string {
	if n := len(v); n > 1 && (v[0] == '\'' || v[0] == '"') && v[n-1] == v[0] {
		return v[1 : n-1]
	}
	return v
}

// orService are role and flags of a daemon as they were given, or those of the service
// of the file at path, whose variables this process then has, too. It is for commands
// that are about a daemon whether it runs or not. Where anything was given, a variable
// of an option included, nothing is taken of the service.
func orService(path, role string, flags []string, say io.Writer) (string, []string, error) {
	if role != "" || len(flags) > 0 || optionsInEnvironment() {
		return role, flags, nil
	}
	s, err := readService(path)
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		fmt.Fprintf(say, "kedge: warning: how the service is started is not known: %v\n", err)
		return role, flags, nil
	case s.role == "":
		return role, flags, nil
	}
	for name, value := range s.env {
		if os.Getenv(name) != "" {
			continue // of a proxy, perhaps
		}
		if err := os.Setenv(name, value); err != nil {
			return role, flags, fmt.Errorf("take %s from %s: %w", name, path, err)
		}
	}
	fmt.Fprintf(say, "kedge: options are those of the service, from %s\n", path)
	return s.role, s.flags, nil
}

// optionsInEnvironment tells whether the variable of a daemon's option is set.
func optionsInEnvironment() bool {
	set := false
	for _, daemon := range daemonCommands() {
		daemon.Flags().VisitAll(func(f *pflag.Flag) {
			set = set || config.IsOption(f) && os.Getenv(config.EnvName(f.Name)) != ""
		})
	}
	for alias := range envAliases {
		set = set || os.Getenv(alias) != ""
	}
	return set
}
