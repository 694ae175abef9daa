package snapshot

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kedge-io/kedge/internal/fsx"
)

func TestLinksInTheServersFoldersAreSavedAsWhatTheyLeadTo(t *testing.T) {
	s := newServer(t)
	elsewhere := t.TempDir()
	if err := os.Rename(filepath.Join(s.dir, "tls"), filepath.Join(elsewhere, "keys")); err != nil {
		t.Fatal(err)
	}
	if err := fsx.WriteFile(filepath.Join(elsewhere, "web.yaml"), []byte("kind: Web"), 0o644); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"tls": "keys", "manifests/web.yaml": "web.yaml", "manifests/gone.yaml": "nowhere", "manifests/more": "keys"} {
		if err := os.Symlink(filepath.Join(elsewhere, to), filepath.Join(s.dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	id, err := collectIdentity(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, f := range id {
		got[f.Path] = string(f.Data)
	}
	if len(got) != 6 || got["tls/server-ca.key"] != "KEY" || got["tls/etcd/client.crt"] != "CERT" || got["manifests/web.yaml"] != "kind: Web" || got["manifests/app.yaml"] == "" {
		t.Errorf("identity %v", got)
	}
}

func TestLostRecoveryTokenIsSaidWhenANewOneIsMade(t *testing.T) {
	var log bytes.Buffer
	s := newServer(t, func(c *Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	s.mustSave(t, "")
	if strings.Contains(log.String(), "level=WARN") {
		t.Errorf("with the first token: %s", log.String())
	}
	if err := os.Remove(s.cfg.Token); err != nil {
		t.Fatal(err)
	}
	s.mustSave(t, "")
	if !strings.Contains(log.String(), "former recovery token is lost") || !strings.Contains(log.String(), "snapshots=1") {
		t.Errorf("said: %s", log.String())
	}
}
