package main

import (
	"strings"
	"testing"
)

func TestUnitsNameThisHost(t *testing.T) {
	o := unitOptions{name: "kedge-two", binDir: "/opt/bin", dataDir: "/srv/kedge"}
	for kind, want := range map[string]string{
		"systemd": "ExecStart=/opt/bin/kedge $KEDGE_INSTALL_EXEC", "openrc": "/etc/kedge/kedge-two.env",
		"supervisor": "/run/kedge-two-service.pid", "killall": `--keep-data --data-dir "/srv/kedge"`, "uninstall": `reset --yes --data-dir "/srv/kedge"`,
	} {
		text, err := o.render(kind)
		if err != nil || !strings.Contains(text, want) || strings.Contains(text, "@") && !strings.Contains(text, `"$@"`) {
			t.Errorf("%s: %v, want %q in\n%s", kind, err, want, text)
		}
	}
	for _, dir := range []string{"relative", "/a b\"", "/$HOME", "/50%"} {
		if _, err := (&unitOptions{name: "kedge", binDir: "/bin", dataDir: dir}).render("systemd"); err == nil {
			t.Errorf("%q was taken for a data directory", dir)
		}
	}
}
