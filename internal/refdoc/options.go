package refdoc

import (
	"fmt"
	"sort"
	"strings"

	"github.com/kedge-io/kedge/internal/config"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// optionsIntro says how options reach a daemon.
const optionsIntro = `# Options

Every option of a daemon has one name in three places: a flag, an environment variable and a key in a file. Of several values
the first in this order counts: flag, environment, ` + "`config.yaml.d/*.yaml`" + ` (later names before earlier ones), ` + "`config.yaml`" + `, default.
The file is ` + "`" + config.DefaultFile + "`" + ` or what ` + "`--config`" + ` names; its drop-ins are in a folder of the same name with ` + "`.d`" + ` at the end.
` + "`kedge config show`" + ` prints all values and where each came from.

- A list in a file replaces the one before it; ` + "`key+:`" + ` appends to it instead. One value may stand for a list of one.
- In a variable, the items of a list are separated by commas; those of options marked *lines* by line ends, because commas belong to
  their values.
- An unknown key or ` + "`KEDGE_`" + ` variable, a key of the other daemon, a key that is set twice in one file and a value of the wrong
  type are errors. Empty variables count as absent. ` + "`KEDGE_INSTALL_*`" + ` belongs to the install script and is passed over.
- Secrets are never printed. Keep files that hold one at mode 0600.
`

// Options returns configuration.md: one table of all options of the given
// commands (the daemons) and one of the aliases, which map variables to keys.
func Options(aliases map[string]string, daemons ...*cobra.Command) []byte {
	rows := map[string]*optionRow{}
	for _, d := range daemons {
		d.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Hidden || !config.IsOption(f) {
				return
			}
			if rows[f.Name] == nil {
				rows[f.Name] = &optionRow{flag: f}
			}
			rows[f.Name].roles = append(rows[f.Name].roles, d.Name())
		})
	}
	names := make([]string, 0, len(rows))
	for name := range rows {
		names = append(names, name)
	}
	sort.Strings(names)
	var b strings.Builder
	b.WriteString(notice + optionsIntro)
	b.WriteString("\n| key | flag | environment | of | default | meaning |\n|---|---|---|---|---|---|\n")
	for _, name := range names {
		b.WriteString(rows[name].String())
	}
	b.WriteString(aliasTable(aliases))
	return []byte(b.String())
}

type optionRow struct {
	flag  *pflag.Flag
	roles []string
}

func (r *optionRow) String() string {
	f := r.flag
	key := "`" + f.Name + "`"
	if f.Name == config.FileFlag {
		key = ""
	}
	kind := typeName(f)
	if f.Value.Type() == "stringArray" {
		kind = "list, *lines*"
	}
	meaning := fmt.Sprintf("%s (%s)", cell(f.Usage), kind)
	if config.IsSecret(f) {
		meaning += " **secret**"
	}
	return fmt.Sprintf("| %s | `--%s` | `%s` | %s | %s | %s |\n",
		key, f.Name, config.EnvName(f.Name), strings.Join(r.roles, ", "), defaultCell(f), meaning)
}

func aliasTable(aliases map[string]string) string {
	if len(aliases) == 0 {
		return ""
	}
	names := make([]string, 0, len(aliases))
	for name := range aliases {
		names = append(names, name)
	}
	sort.Strings(names)
	var b strings.Builder
	b.WriteString("\n## Other names of variables\n\n| variable | same as |\n|---|---|\n")
	for _, name := range names {
		fmt.Fprintf(&b, "| `%s` | `%s` |\n", name, config.EnvName(aliases[name]))
	}
	return b.String()
}
