package support_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/kedge-io/kedge/internal/support"
)

func TestSettingsAndHeadersAreLearnedByValue(t *testing.T) {
	dir, certs := t.TempDir(), t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	secret, access := write("secret", "planted-1+/\n"), write("access key", "planted-2\n")
	registries := write("registries.yaml", "configs: {r: {auth: {auth: YW5uYTpwbGFudGVkLTM=}}}") // anna:planted-3
	r := support.NewRedactor()
	r.LearnEnvFile(write("kedge.env", "# KEDGE_TOKEN=not-this-one\nexport KEDGE_TOKEN='planted-4'\nKEDGE_S3_SECRET_KEY=\"planted-5\"\nKEDGE_NODE_NAME='edge-one'\n"+
		"KEDGE_SECRET_KEY_FILE="+secret+"\nKEDGE_PRIVATE_REGISTRY='"+registries+"'\nDB=postgres://k:planted-6@db/k\n"+
		"KEDGE_INSTALL_EXEC='server --access-key-file=\""+access+"\" --agent-token planted-7 --tls-san edge-two'\n"))
	hosts := write("hosts.toml", "server = \"https://r.example\"\n[header]\nA = [\n\"Basic YW5uYTpwbGFudGVkLTg=\",\n'planted-9']\n[host.\"https://m.example\"]\ncapabilities = [\"resolve\"]\n"+
		"[host.\"https://m.example\".header]\n\"X-Key\" = \"planted-a\"\n")
	if err := os.Rename(hosts, filepath.Join(certs, "hosts.toml")); err != nil {
		t.Fatal(err)
	}
	r.LearnTree(certs)
	for _, text := range []string{"planted-1+/", "planted-2", "planted-3", "planted-4", "planted-5", "planted-6", "planted-7", "planted-8", "planted-9", "planted-a"} {
		if got := r.Text("x " + text + " y"); got != "x "+support.Mask+" y" {
			t.Errorf("left: %s", got)
		}
	}
	for _, text := range []string{"not-this-one", "edge-one", "edge-two", "resolve", "https://r.example", "https://m.example"} {
		if got := r.Text(text); text != got {
			t.Errorf("%s became %s", text, got)
		}
	}
}
