//go:build namespace

package apply_test

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kedge-io/kedge/edgefw/apply"
)

func TestWithoutIPTablesThereIsARemedy(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := apply.New(apply.Config{Log: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "iptables") || !strings.Contains(err.Error(), "install") {
		t.Errorf("the error is %v", err)
	}
}

func TestWithoutIP6TablesIPv4IsEnforced(t *testing.T) {
	each(t, func(t *testing.T, b *bed) {
		b.answer("80")
		dir := t.TempDir()
		for _, suffix := range []string{"", "-save", "-restore"} {
			program, err := exec.LookPath("iptables-" + string(b.which) + suffix)
			if err != nil {
				t.Fatal(err)
			}
			if program, err = filepath.EvalSymlinks(program); err != nil {
				t.Fatal(err)
			}
			// The programs know by their names what they are to do.
			script := "#!/bin/sh\nexec -a iptables-" + string(b.which) + suffix + " " + program + ` "$@"` + "\n"
			script = strings.Replace(script, "/bin/sh", "/bin/bash", 1)
			if err := os.WriteFile(filepath.Join(dir, "iptables"+suffix), []byte(script), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		path := os.Getenv("PATH")
		t.Setenv("PATH", dir)
		k, err := apply.New(apply.Config{Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		defer k.Close()
		r, err := k.Apply(context.Background(), friends(friend4))
		t.Setenv("PATH", path)
		if err != nil || len(r.Unenforced) != 1 || !strings.Contains(r.Unenforced[0], "IPv6") || !strings.Contains(r.Unenforced[0], "install") {
			t.Errorf("applied with %+v, %v", r, err)
		}
		b.expect(stranger4, node4, "80", "silent")
		b.expect(friend4, node4, "80", "open")
	})
}
