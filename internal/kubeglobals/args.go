package kubeglobals

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// Args turns defaults and a person's own "name=value" settings into flags
// ("--name=value"), sorted by name. A setting replaces the default of its
// name; a name given several times is passed several times, as list flags
// want it; a name without "=" is passed as a switch. Leading dashes of a
// setting are accepted.
func Args(defaults map[string]string, extra []string) []string {
	values := make(map[string][]string, len(defaults)+len(extra))
	for name, value := range defaults {
		values[name] = []string{"--" + name + "=" + value}
	}
	own := map[string]bool{}
	for _, setting := range extra {
		setting = strings.TrimLeft(setting, "-")
		name, _, _ := strings.Cut(setting, "=")
		if !own[name] {
			values[name], own[name] = nil, true
		}
		values[name] = append(values[name], "--"+setting)
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		out = append(out, values[name]...)
	}
	return out
}

// Parse applies args to the flags of one Kubernetes part. option is the name
// of kedge's own option through which a person reaches them; it is named in
// the error.
func Parse(fs *pflag.FlagSet, args []string, option string) error {
	// Upstream marks most of kubelet's flags as deprecated in favour of its
	// file; saying so at each start would help nobody.
	fs.SetOutput(io.Discard)
	if err := fs.Parse(args); err != nil {
		return fmt.Errorf("%s: %w (the settings are those of upstream's %s)", option, err, fs.Name())
	}
	if rest := fs.Args(); len(rest) > 0 {
		return fmt.Errorf("%s: %q is not of the form name=value", option, rest[0])
	}
	return nil
}
