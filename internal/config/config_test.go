package config

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// agentCommand is a command with a flag of every kind.
func agentCommand(t testing.TB, args ...string) *cobra.Command {
	t.Helper()
	cmd := &cobra.Command{Use: "agent"}
	(&cobra.Command{Use: "kedge"}).AddCommand(cmd)
	fs := cmd.Flags()
	fs.String("config", filepath.Join(t.TempDir(), "config.yaml"), "file")
	fs.String("server", "", "server")
	fs.String("token", "", "token")
	fs.String("node-name", "here", "name")
	fs.Bool("debug", false, "debug")
	fs.Int("https-listen-port", 6443, "port")
	fs.Duration("grace", 30*time.Second, "grace")
	fs.StringSlice("tls-san", []string{"localhost"}, "names")
	fs.StringArray("kubelet-arg", nil, "args")
	fs.Bool("yes", false, "yes")
	fs.Var(new(port), "metrics-port", "checked by its type")
	MarkSecret(fs, "token")
	MarkCommandLineOnly(fs, "yes")
	if err := cmd.ParseFlags(args); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// port is a flag type that refuses values with a reason of its own.
type port string

func (p *port) String() string { return string(*p) }
func (p *port) Type() string   { return "port" }
func (p *port) Set(s string) error {
	if s == "0" {
		return os.ErrInvalid
	}
	*p = port(s)
	return nil
}

func options(env ...string) Options {
	others := pflag.NewFlagSet("server", pflag.ContinueOnError)
	others.String("cluster-cidr", "", "range")
	return Options{
		Env:     append([]string{"PATH=/bin"}, env...),
		Aliases: map[string]string{"KEDGE_URL": "server", "KEDGE_CONFIG_FILE": "config"},
		Others:  map[string]*pflag.FlagSet{"kedge server": others},
	}
}

// write makes files from name, text pairs in a new directory, which it returns.
func write(t testing.TB, pairs ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i < len(pairs); i += 2 {
		path := filepath.Join(dir, pairs[i])
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(pairs[i+1]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func find(t *testing.T, r *Resolved, key string) Value {
	t.Helper()
	for _, v := range r.Values {
		if v.Key == key {
			return v
		}
	}
	t.Fatalf("no value %q", key)
	return Value{}
}

func TestFlagWinsOverEnvironmentOverFilesOverDefault(t *testing.T) {
	base := "node-name: base\n"
	dropIn := "\nnode-name: drop-in\n"
	for name, tc := range map[string]struct {
		files  []string
		env    []string
		args   []string
		value  string
		origin string
	}{
		"default":       {nil, nil, nil, "here", "default"},
		"file":          {[]string{"c.yaml", base}, nil, nil, "base", "c.yaml:1"},
		"drop-in":       {[]string{"c.yaml", base, "c.yaml.d/1.yaml", dropIn}, nil, nil, "drop-in", "c.yaml.d/1.yaml:2"},
		"later name":    {[]string{"c.yaml.d/2.yml", "node-name: two", "c.yaml.d/1.yaml", dropIn, "c.yaml", ""}, nil, nil, "two", "c.yaml.d/2.yml:1"},
		"not yaml":      {[]string{"c.yaml", base, "c.yaml.d/9.yaml.bak", dropIn, "c.yaml.d/.9.yaml", dropIn}, nil, nil, "base", "c.yaml:1"},
		"environment":   {[]string{"c.yaml", base}, []string{"KEDGE_NODE_NAME=env"}, nil, "env", "env KEDGE_NODE_NAME"},
		"empty":         {[]string{"c.yaml", base}, []string{"KEDGE_NODE_NAME="}, nil, "base", "c.yaml:1"},
		"flag":          {[]string{"c.yaml", base}, []string{"KEDGE_NODE_NAME=env"}, []string{"--node-name=flag"}, "flag", "flag"},
		"empty by flag": {[]string{"c.yaml", base}, nil, []string{"--node-name="}, "", "flag"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := write(t, append([]string{"c.yaml", ""}, tc.files...)...)
			cmd := agentCommand(t, append(tc.args, "--config", filepath.Join(dir, "c.yaml"))...)
			r, err := Load(cmd, options(tc.env...))
			if err != nil {
				t.Fatal(err)
			}
			v := find(t, r, "node-name")
			if v.Value != tc.value || strings.TrimPrefix(v.Origin, dir+"/") != tc.origin {
				t.Errorf("got %q from %q, want %q from %q", v.Value, v.Origin, tc.value, tc.origin)
			}
			if got, _ := cmd.Flags().GetString("node-name"); got != tc.value {
				t.Errorf("flag is %q, want %q", got, tc.value)
			}
		})
	}
}

func TestEveryKindOfFlagIsSetFromFileAndEnvironment(t *testing.T) {
	dir := write(t, "c.yaml", "debug: true\nhttps-listen-port: 7443\ngrace: 2m\nmetrics-port: 1\n"+
		"tls-san: [a.example, 192.0.2.1]\nkubelet-arg: eviction-hard=a<5%,b<10%\nnode-name: 0644\n")
	fromFile := agentCommand(t, "--config", filepath.Join(dir, "c.yaml"))
	if _, err := Load(fromFile, options()); err != nil {
		t.Fatal(err)
	}
	fromEnv := agentCommand(t)
	env := options("KEDGE_DEBUG=true", "KEDGE_HTTPS_LISTEN_PORT=7443", "KEDGE_GRACE=2m", "KEDGE_METRICS_PORT=1",
		"KEDGE_TLS_SAN=a.example,192.0.2.1", "KEDGE_KUBELET_ARG=eviction-hard=a<5%,b<10%", "KEDGE_NODE_NAME=0644")
	if _, err := Load(fromEnv, env); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"debug": "true", "https-listen-port": "7443", "grace": "2m0s", "metrics-port": "1",
		"tls-san": "[a.example,192.0.2.1]", "kubelet-arg": `["eviction-hard=a<5%,b<10%"]`, "node-name": "0644"} {
		for source, cmd := range map[string]*cobra.Command{"file": fromFile, "environment": fromEnv} {
			f := cmd.Flags().Lookup(name)
			if f.Value.String() != want || !f.Changed {
				t.Errorf("%s from %s: %s (changed %v), want %s", name, source, f.Value, f.Changed, want)
			}
		}
	}
}

func TestListsReplaceAndAppendWithPlus(t *testing.T) {
	for name, tc := range map[string]struct {
		base, dropIn string
		want         []string
		origin       string
	}{
		"replace":           {"tls-san: [a, b]", "tls-san: [c]", []string{"c"}, "c.yaml.d/1.yaml:1"},
		"append":            {"tls-san: [a, b]", "tls-san+: [c]", []string{"a", "b", "c"}, "c.yaml:1, c.yaml.d/1.yaml:1"},
		"append one":        {"tls-san: a", "tls-san+: c", []string{"a", "c"}, "c.yaml:1, c.yaml.d/1.yaml:1"},
		"append to default": {"", "tls-san+: c", []string{"localhost", "c"}, "c.yaml.d/1.yaml:1"},
		"both in one file":  {"tls-san: [a]\ntls-san+: [b]", "", []string{"a", "b"}, "c.yaml:1, c.yaml:2"},
		"empty":             {"tls-san: []", "", nil, "c.yaml:1"},
		"no splitting":      {`tls-san: ["a,b"]`, "", []string{"a,b"}, "c.yaml:1"},
		"alias":             {"tls-san: &x [a]\nkubelet-arg: *x", "", []string{"a"}, "c.yaml:1"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := write(t, "c.yaml", tc.base, "c.yaml.d/1.yaml", tc.dropIn)
			cmd := agentCommand(t, "--config", filepath.Join(dir, "c.yaml"))
			r, err := Load(cmd, options())
			if err != nil {
				t.Fatal(err)
			}
			got, _ := cmd.Flags().GetStringSlice("tls-san")
			if !slices.Equal(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			if origin := strings.ReplaceAll(r.Origin("tls-san"), dir+"/", ""); origin != tc.origin {
				t.Errorf("origin %q, want %q", origin, tc.origin)
			}
		})
	}
}

func TestWrongFilesAreRefusedWithFileLineAndRemedy(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"unknown":       {"\nnode-nmae: x", `c.yaml:2: unknown key "node-nmae", did you mean "node-name"?`},
		"underscore":    {"tls_san: x", `c.yaml:1: unknown key "tls_san", did you mean "tls-san"?`},
		"far off":       {"frobnicate: x", `c.yaml:1: unknown key "frobnicate"`},
		"other role":    {"cluster-cidr: x", `c.yaml:1: "cluster-cidr" is an option of "kedge server", not of "kedge agent": remove it`},
		"near other":    {"cluster-cdir: x", `c.yaml:1: unknown key "cluster-cdir", did you mean "cluster-cidr"?`},
		"command line":  {"yes: true", `c.yaml:1: "yes" can only be given on the command line`},
		"config":        {"config: x", `c.yaml:1: "config" cannot be set in a file: use --config or KEDGE_CONFIG`},
		"bool":          {"debug: \"true\"", `c.yaml:1: debug: "true" is not true or false`},
		"int":           {"\n\nhttps-listen-port: many", `c.yaml:3: https-listen-port: "many" is not a whole number`},
		"large":         {"https-listen-port: 99999999999999999999", `c.yaml:1: https-listen-port: "99999999999999999999" is not a whole number`},
		"duration":      {"grace: 30", `c.yaml:1: grace: "30" is not a duration such as 90s, 15m or 24h`},
		"own type":      {"metrics-port: 0", `c.yaml:1: metrics-port: "0": invalid argument`},
		"list":          {"node-name: [a]", `c.yaml:1: node-name: a list is not a single value`},
		"plus":          {"node-name+: a", `c.yaml:1: node-name: takes one value, "+" is for lists: write "node-name:"`},
		"null":          {"node-name:", `c.yaml:1: node-name: has no value: give one or remove the key`},
		"null item":     {"tls-san:\n- a\n-", `c.yaml:3: tls-san: has no value: give one or remove the key`},
		"nested":        {"node-name: {a: b}", `c.yaml:1: node-name: expected a value or a list, not nested keys`},
		"nested list":   {"tls-san:\n- [a]", `c.yaml:2: tls-san: list items must be plain values`},
		"twice":         {"debug: true\ndebug: true", `c.yaml:2: "debug" is set twice, first on line 1: keep one`},
		"not a mapping": {"- debug", `c.yaml:1: expected lines of the form "key: value"`},
		"two documents": {"debug: true\n---\ndebug: true", `a second document: put all keys into one`},
		"syntax":        {"debug: true\n\tx: 1", `c.yaml:2: not valid YAML: `},
		"complex key":   {"? [a]\n: b", `c.yaml:1: a key must be the name of an option`},
		"two problems":  {"a-a: 1\nb-b: 2", "c.yaml:2: unknown key \"b-b\""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := write(t, "c.yaml", tc.text)
			_, err := Load(agentCommand(t, "--config", filepath.Join(dir, "c.yaml")), options())
			if err == nil {
				t.Fatal("accepted")
			}
			if got := strings.ReplaceAll(err.Error(), dir+"/", ""); !strings.Contains(got, tc.want) {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

func TestWrongEnvironmentIsRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		env  []string
		want string
	}{
		"unknown":    {[]string{"KEDGE_NODENAME=x"}, `environment variable KEDGE_NODENAME is no option of "kedge agent", did you mean "KEDGE_NODE_NAME"?`},
		"far off":    {[]string{"KEDGE_FROBNICATE=x"}, `environment variable KEDGE_FROBNICATE is no option of "kedge agent": unset it`},
		"other role": {[]string{"KEDGE_CLUSTER_CIDR=x"}, `environment variable KEDGE_CLUSTER_CIDR is an option of "kedge server", not of "kedge agent": unset it`},
		"type":       {[]string{"KEDGE_HTTPS_LISTEN_PORT=many"}, `environment variable KEDGE_HTTPS_LISTEN_PORT: https-listen-port: "many" is not a whole number`},
		"conflict":   {[]string{"KEDGE_URL=a", "KEDGE_SERVER=b"}, `environment variables KEDGE_SERVER and KEDGE_URL set the same option to different values: unset one of them`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Load(agentCommand(t), options(tc.env...))
			if err == nil || err.Error() != tc.want {
				t.Errorf("got  %v\nwant %s", err, tc.want)
			}
		})
	}
}

func TestAliasesAndForeignVariablesAreAccepted(t *testing.T) {
	r, err := Load(agentCommand(t), options("KEDGE_URL=https://a:6443", "KEDGE_INSTALL_DIR=/x", "KEDGE_LAUNCHER=/x", "OTHER=1"))
	if err != nil {
		t.Fatal(err)
	}
	if v := find(t, r, "server"); v.Value != "https://a:6443" || v.Origin != "env KEDGE_URL" {
		t.Errorf("got %+v", v)
	}
}

func TestMissingFileIsAnErrorOnlyWhenNamed(t *testing.T) {
	if _, err := Load(agentCommand(t), options()); err != nil {
		t.Errorf("missing default file: %v", err)
	}
	for _, load := range []func() error{
		func() error { _, err := Load(agentCommand(t, "--config=/nonexistent/c.yaml"), options()); return err },
		func() error {
			_, err := Load(agentCommand(t), options("KEDGE_CONFIG_FILE=/nonexistent/c.yaml"))
			return err
		},
	} {
		if err := load(); err == nil || !strings.Contains(err.Error(), "config file /nonexistent/c.yaml does not exist") {
			t.Errorf("got %v", err)
		}
	}
}

func TestPartialPassesOverWhatItDoesNotKnow(t *testing.T) {
	dir := write(t, "c.yaml", "cluster-cidr: x\nunknown: y\nnode-name: z\n")
	o := options("KEDGE_UNKNOWN=x")
	o.Partial = true
	r, err := Load(agentCommand(t, "--config", filepath.Join(dir, "c.yaml")), o)
	if err != nil {
		t.Fatal(err)
	}
	if v := find(t, r, "node-name"); v.Value != "z" {
		t.Errorf("got %+v", v)
	}
}

func TestSecretsAreNeverShown(t *testing.T) {
	const secret = "K10abc::id.hunter2"
	dir := write(t, "c.yaml", "token: "+secret+"\n")
	path := filepath.Join(dir, "c.yaml")
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	r, err := Load(agentCommand(t, "--config", path), options())
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range Formats {
		var out bytes.Buffer
		if err := r.Write(&out, format); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(out.String(), "hunter2") || !strings.Contains(out.String(), Mask) {
			t.Errorf("%s:\n%s", format, out.String())
		}
	}
	if len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "chmod 600") {
		t.Errorf("warnings %q", r.Warnings)
	}
	if err := os.WriteFile(path, []byte("token: ["+secret+"]"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(agentCommand(t, "--config", path), options()); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
}

func TestShownYAMLIsAConfigurationFile(t *testing.T) {
	dir := write(t, "c.yaml", "debug: true\ntls-san: [a, \"b: c\"]\nnode-name: \"# 1\"\nhttps-listen-port: 1\nmetrics-port: \"5\"\n")
	r, err := Load(agentCommand(t, "--config", filepath.Join(dir, "c.yaml"), "--token=x"), options())
	if err != nil {
		t.Fatal(err)
	}
	var first, second bytes.Buffer
	if err := r.Write(&first, "yaml"); err != nil {
		t.Fatal(err)
	}
	again := write(t, "c.yaml", first.String())
	r2, err := Load(agentCommand(t, "--config", filepath.Join(again, "c.yaml"), "--token=x"), options())
	if err != nil {
		t.Fatalf("%v\n%s", err, first.String())
	}
	for _, v := range r.Values {
		if got := find(t, r2, v.Key); got.Value != v.Value && v.Key != FileFlag {
			t.Errorf("%s: %q became %q", v.Key, v.Value, got.Value)
		}
	}
	if err := r2.Write(&second, "xml"); err == nil {
		t.Error("format xml accepted")
	}
}

func TestPeekFindsOneValueWithoutChecking(t *testing.T) {
	dir := write(t, "c.yaml", "data-dir: /one\nnonsense: [", "d.yaml", "data-dir: /two\nother: x\n", "d.yaml.d/1.yaml", "data-dir: /three")
	file := func(name string) string { return "KEDGE_CONFIG=" + filepath.Join(dir, name) }
	for name, tc := range map[string]struct {
		env  []string
		want string
	}{
		"broken file": {[]string{file("c.yaml")}, ""},
		"files":       {[]string{file("d.yaml")}, "/three"},
		"environment": {[]string{file("d.yaml"), "KEDGE_DATA_DIR=/four"}, "/four"},
		"nothing":     {[]string{file("e.yaml")}, ""},
	} {
		if got := Peek("data-dir", options(tc.env...)); got != tc.want {
			t.Errorf("%s: got %q, want %q", name, got, tc.want)
		}
	}
}

func TestNearest(t *testing.T) {
	names := []string{"node-name", "node-ip", "token", "tls-san", "debug"}
	for word, want := range map[string]string{"node-nam": "node-name", "nodeip": "node-ip", "tokne": "token", "TLS-SAN": "tls-san", "xyz": "", "": ""} {
		if got := Nearest(word, names); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", word, got, want)
		}
	}
}
