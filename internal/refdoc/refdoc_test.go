package refdoc

import (
	"strings"
	"testing"

	"github.com/kedge-io/kedge/internal/config"
	"github.com/spf13/cobra"
)

func tree() (root, server, agent *cobra.Command) {
	run := func(*cobra.Command, []string) {}
	root = &cobra.Command{Use: "kedge", Short: "Kubernetes for the edge"}
	server = &cobra.Command{Use: "server", Short: "Run a server.", Long: "Run a server\n\tand its node.", Run: run}
	server.Flags().String("config", "/c", "the file")
	server.Flags().String("token", "x", "the token")
	server.Flags().StringArray("kubelet-arg", nil, "a|b")
	server.Flags().BoolP("debug", "d", false, "say more")
	server.Flags().Bool("internal", false, "not shown")
	_ = server.Flags().MarkHidden("internal")
	config.MarkSecret(server.Flags(), "token")
	agent = &cobra.Command{Use: "agent", Short: "Run an agent", Run: run}
	agent.Flags().Bool("debug", false, "say more")
	agent.Flags().Bool("yes", false, "do not ask")
	config.MarkCommandLineOnly(agent.Flags(), "yes")
	kubectl := &cobra.Command{Use: "kubectl", Short: "Run kubectl", DisableFlagParsing: true, Run: run}
	hidden := &cobra.Command{Use: "containerd", Hidden: true, Run: run}
	root.AddCommand(server, agent, kubectl, hidden)
	return root, server, agent
}

func TestPagesDescribeVisibleCommands(t *testing.T) {
	root, _, _ := tree()
	pages := Pages(root)
	for file, parts := range map[string][]string{
		"README.md":        {"- [`kedge agent`](kedge_agent.md): Run an agent.\n", "(configuration.md)"},
		"kedge.md":         {"# kedge\n\nKubernetes for the edge.\n", "## Commands"},
		"kedge_server.md":  {"| `-d, --debug` | `false` | say more |", "| `--kubelet-arg list` |  | a\\|b |", "| `--token string` |  | the token |", "    and its node."},
		"kedge_kubectl.md": {"`kedge kubectl --help`"},
	} {
		for _, part := range parts {
			if !strings.Contains(string(pages[file]), part) {
				t.Errorf("%s lacks %q:\n%s", file, part, pages[file])
			}
		}
	}
	if len(pages) != 5 || strings.Contains(string(pages["kedge_server.md"]), "internal") {
		t.Errorf("hidden things shown in %d pages", len(pages))
	}
}

func TestOptionsJoinTheDaemons(t *testing.T) {
	_, server, agent := tree()
	text := string(Options(map[string]string{"KEDGE_URL": "server"}, server, agent))
	for _, part := range []string{
		"|  | `--config` | `KEDGE_CONFIG` | server | `/c` | the file (string) |",
		"| `debug` | `--debug` | `KEDGE_DEBUG` | server, agent | `false` | say more (bool) |",
		"| `kubelet-arg` | `--kubelet-arg` | `KEDGE_KUBELET_ARG` | server |  | a\\|b (list, *lines*) |",
		"| `token` | `--token` | `KEDGE_TOKEN` | server |  | the token (string) **secret** |",
		"| `KEDGE_URL` | `KEDGE_SERVER` |",
	} {
		if !strings.Contains(text, part) {
			t.Errorf("lacks %q:\n%s", part, text)
		}
	}
	if strings.Contains(text, "`yes`") || strings.Contains(text, "`internal`") {
		t.Errorf("flags shown that are no options:\n%s", text)
	}
}
