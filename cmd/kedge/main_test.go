package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/kedge-io/kedge/internal/config"
	"github.com/kedge-io/kedge/internal/health"
	"github.com/kedge-io/kedge/internal/lifecycle"
	"github.com/kedge-io/kedge/internal/paths"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// execute runs the command line in this process and returns what it printed
// and its exit code.
func execute(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errOut bytes.Buffer
	root := newRootCommand()
	root.SetOut(&out)
	root.SetErr(&errOut)
	root.SetArgs(args)
	code = report(&errOut, root.ExecuteContext(t.Context()))
	return out.String(), errOut.String(), code
}

// emptyConfig keeps the host's own configuration out of a test.
func emptyConfig(t *testing.T, text string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KEDGE_CONFIG", path)
}

func TestToolsAreFoundByLinkAndByArgument(t *testing.T) {
	for _, tc := range []struct {
		argv []string
		tool string
		args []string
	}{
		{[]string{"/usr/bin/kubectl", "get", "pods"}, "kubectl", []string{"get", "pods"}},
		{[]string{"crictl"}, "crictl", nil},
		{[]string{"kedge", "ctr", "-n", "x", "version"}, "ctr", []string{"-n", "x", "version"}},
		{[]string{"/proc/self/exe", "containerd", "--config", "c"}, "containerd", []string{"--config", "c"}},
		{[]string{"containerd", "version"}, "", nil},
		{[]string{"kedge", "server", "kubectl"}, "", nil},
		{[]string{"kedge"}, "", nil},
		{nil, "", nil},
	} {
		tool, args := findTool(tc.argv)
		name := ""
		if tool != nil {
			name = tool.name
		}
		if name != tc.tool || !slices.Equal(args, tc.args) {
			t.Errorf("%q: got %q %q", tc.argv, name, args)
		}
	}
}

func TestErrorsBecomeLinesAndExitCodes(t *testing.T) {
	for _, tc := range []struct {
		err  error
		code int
		text string
	}{
		{nil, exitOK, ""},
		{errors.New("a"), exitFailure, "kedge: a\n"},
		{errors.Join(errors.New("a"), errors.New("b")), exitFailure, "kedge: a\nkedge: b\n"},
		{fmt.Errorf("wrapped: %w", usageError(errors.New("a"))), exitUsage, "kedge: wrapped: a\n"},
		{exitWith(exitNotRunning, nil), exitNotRunning, ""},
	} {
		var out bytes.Buffer
		if code := report(&out, tc.err); code != tc.code || out.String() != tc.text {
			t.Errorf("%v: code %d, text %q", tc.err, code, out.String())
		}
	}
}

func TestWrongCommandLinesAreExplained(t *testing.T) {
	for line, want := range map[string]string{
		"stauts":                            `did you mean "status"?`,
		"frobnicate":                        `see "kedge --help"`,
		"config shwo":                       `unknown command "shwo" for "kedge config", did you mean "show"?`,
		"status --data-dri=/x":              `unknown flag --data-dri for "kedge status", did you mean --data-dir?`,
		"status --frobnicate":               `see "kedge status --help"`,
		"status -o xml":                     `output format "xml": expected table or json`,
		"config show node":                  `role "node": expected server or agent`,
		"config show server agent":          `one role at a time`,
		"bandwidth top -o xml":              `output format "xml": expected table or json`,
		"bandwidth top --sort size":         `--sort: order "size": expected one of ["rate"`,
		"bandwidth top --interval 1ms":      `--interval 1ms: expected at least 200ms`,
		"bandwidth measure n --streams 100": `want 1 to 64`,
	} {
		_, stderr, code := execute(t, strings.Fields(line)...)
		if code != exitUsage || !strings.Contains(stderr, want) {
			t.Errorf("kedge %s: code %d: %s", line, code, stderr)
		}
	}
}

func TestAWrongSecretOnTheCommandLineIsNotRepeated(t *testing.T) {
	cmd := &cobra.Command{Use: "agent"}
	cmd.Flags().Int("token", 0, "a secret of a type that refuses words")
	config.MarkSecret(cmd.Flags(), "token")
	err := explainFlag(cmd, cmd.ParseFlags([]string{"--token=hunter2"}))
	if strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "--token (not shown)") {
		t.Error(err)
	}
}

func TestFirstSignalCancelsAndSecondEnds(t *testing.T) {
	ended := make(chan int, 1)
	ctx, interrupted := signalContext(func(code int) { ended <- code })
	if interrupted() {
		t.Fatal("interrupted without a signal")
	}
	kill := func() {
		if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
	}
	kill()
	select {
	case <-ctx.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("the first signal did not end the context")
	}
	kill()
	select {
	case code := <-ended:
		if code != exitInterrupted || !interrupted() {
			t.Errorf("code %d", code)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the second signal did not end the process")
	}
}

func TestStatusTellsReadyNotReadyAndNotRunning(t *testing.T) {
	emptyConfig(t, "")
	dataDir := t.TempDir()
	layout := paths.New(dataDir)
	t.Cleanup(func() { os.Remove(layout.RunDir) })
	_, stderr, code := execute(t, "status", "--data-dir", dataDir)
	if code != exitNotRunning || !strings.Contains(stderr, layout.StatusSocket()) || !strings.Contains(stderr, "systemctl start kedge") {
		t.Errorf("without a daemon: code %d: %s", code, stderr)
	}
	if os.Geteuid() != 0 {
		t.Skip("the rest needs root, which may make " + layout.RunDir)
	}
	var asked atomic.Int32 // ready from the second question on
	server, err := health.Listen(layout.StatusSocket(), "")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- server.Serve(ctx, func() health.Report {
			state := lifecycle.StateStarting
			if asked.Add(1) > 1 {
				state = lifecycle.StateReady
			}
			return health.Report{Role: "agent", Components: []lifecycle.Status{{Name: "kubelet", State: state}}}
		})
	}()
	if stdout, _, code := execute(t, "status", "--data-dir", dataDir); code != exitFailure || !strings.Contains(stdout, "kubelet") {
		t.Errorf("starting: code %d: %s", code, stdout)
	}
	if stdout, _, code := execute(t, "status", "--data-dir", dataDir, "-o", "json"); code != exitOK || !strings.Contains(stdout, `"ready": true`) {
		t.Errorf("ready: code %d: %s", code, stdout)
	}
	asked.Store(0)
	if stdout, _, code := execute(t, "status", "--data-dir", dataDir, "--wait", "10s"); code != exitOK {
		t.Errorf("waiting: code %d: %s", code, stdout)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestConfigShowPrintsOriginsOfTheRole(t *testing.T) {
	emptyConfig(t, "node-name: edge-7\ntoken: K10secret\n")
	stdout, stderr, code := execute(t, "config", "show", "agent", "--", "--server=https://192.0.2.1:6443")
	if code != exitOK || strings.Contains(stdout, "K10secret") {
		t.Fatalf("code %d\n%s%s", code, stdout, stderr)
	}
	for _, want := range []string{"edge-7", "config.yaml:1", "https://192.0.2.1:6443", config.Mask} {
		if !strings.Contains(stdout, want) {
			t.Errorf("lacks %q:\n%s", want, stdout)
		}
	}
	emptyConfig(t, "node-nmae: x\n")
	if _, stderr, code := execute(t, "config", "show", "agent"); code != exitUsage || !strings.Contains(stderr, `config.yaml:1: unknown key "node-nmae", did you mean "node-name"?`) {
		t.Errorf("code %d: %s", code, stderr)
	}
}

// TestOptionsAreConsistent holds the rules that every flag of a daemon follows.
func TestOptionsAreConsistent(t *testing.T) {
	types := map[string]string{}
	for _, daemon := range daemonCommands() {
		daemon.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Name != strings.ToLower(f.Name) || strings.ContainsAny(f.Name, "_.") {
				t.Errorf("%s --%s: names are lower-case words joined by dashes", daemon.Name(), f.Name)
			}
			if f.Usage == "" {
				t.Errorf("%s --%s: has no meaning for the reference", daemon.Name(), f.Name)
			}
			if old := types[f.Name]; old != "" && old != f.Value.Type() {
				t.Errorf("--%s is %s for one daemon and %s for the other", f.Name, old, f.Value.Type())
			}
			types[f.Name] = f.Value.Type()
		})
		// A server makes tokens and takes none.
		f := daemon.Flags().Lookup("token")
		if daemon.Name() == "agent" && f == nil {
			t.Error("agent has no --token")
		}
		if f != nil && !config.IsSecret(f) {
			t.Errorf("%s --token is not marked as secret", daemon.Name())
		}
	}
	for alias, key := range envAliases {
		if types[key] == "" {
			t.Errorf("%s stands for --%s, which no daemon has", alias, key)
		}
	}
}

func TestKubectlFindsTheLocalCluster(t *testing.T) {
	dir := t.TempDir()
	there, user := filepath.Join(dir, "kedge.yaml"), filepath.Join(dir, "user")
	for _, path := range []string{there, user} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	missing := filepath.Join(dir, "missing")
	for name, tc := range map[string]struct {
		env        string
		args       string
		candidates []string
		user       string
		want       string
		wrong      string
	}{
		"first that exists": {"", "get pods", []string{missing, there}, "", there, ""},
		"named by env":      {"/x", "get pods", []string{there}, "", "", ""},
		"named by flag":     {"", "get pods --kubeconfig=/x", []string{there}, "", "", ""},
		"user's own":        {"", "get pods", []string{missing}, user, "", ""},
		"nowhere":           {"", "get pods", []string{missing}, missing, "", "start \"kedge server\" on this host"},
		"offline command":   {"", "completion bash", []string{missing}, "", "", ""},
		"help":              {"", "get --help", []string{missing}, "", "", ""},
		"help in container": {"", "exec p -- ls --help", []string{missing}, "", "", "does not exist"},
		"no command":        {"", "", []string{missing}, "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("KUBECONFIG", tc.env)
			got, err := chooseKubeconfig(strings.Fields(tc.args), tc.candidates, tc.user)
			if got != tc.want || (err == nil) != (tc.wrong == "") || (err != nil && !strings.Contains(err.Error(), tc.wrong)) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestKubeconfigCandidatesFollowTheConfiguration(t *testing.T) {
	emptyConfig(t, "data-dir: /srv/kedge\n")
	if got := kubeconfigCandidates(); got[0] != "/srv/kedge/server/cred/admin.kubeconfig" {
		t.Errorf("other data directory: %q", got)
	}
	emptyConfig(t, "write-kubeconfig: /home/me/k.yaml\n")
	if got := kubeconfigCandidates(); !slices.Equal(got, []string{"/home/me/k.yaml"}) {
		t.Errorf("written elsewhere: %q", got)
	}
	emptyConfig(t, "")
	if got := kubeconfigCandidates(); !slices.Equal(got, []string{paths.DefaultKubeconfig}) {
		t.Errorf("default: %q", got)
	}
}

func TestEveryVisibleCommandHasAShortText(t *testing.T) {
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Short == "" {
			t.Errorf("%s has none", c.CommandPath())
		}
		for _, child := range c.Commands() {
			walk(child)
		}
	}
	walk(newRootCommand())
}
