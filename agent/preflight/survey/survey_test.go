package survey_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kedge-io/kedge/agent/preflight/survey"
)

func TestEveryPartSaysSomething(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"server/db/state.db", "agent/containerd/layers/deep"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]string{}
	for _, p := range survey.Parts(dir) {
		text, err := p.Read(context.Background())
		if text == "" && err == nil && p.Name != "ipsets.txt" && p.Name != "neighbours.txt" && !strings.Contains(p.Name, "tables") && p.Name != "nft.txt" && p.Name != "kernel-log.txt" {
			t.Errorf("%s says nothing, not even why", p.Name)
		}
		seen[p.Name] = text
	}
	for part, want := range map[string]string{"links.txt": "1 lo ", "host.txt": "MemTotal", "settings.txt": "fs/inotify/", "disk.txt": "server/db/state.db", "mounts.txt": " / "} {
		if !strings.Contains(seen[part], want) {
			t.Errorf("%s lacks %q:\n%.300s", part, want, seen[part])
		}
	}
	if strings.Contains(seen["disk.txt"], "layers/deep") {
		t.Error("the files of images are listed")
	}
}
