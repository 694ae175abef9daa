package main

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// unsetting takes variables out of the environment until the test ends.
func unsetting(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		t.Setenv(name, "")
	}
}

// installedAgent is the file of a service as the install script writes it.
func installedAgent(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kedge.env")
	put(t, path, "HTTPS_PROXY='http://proxy.example:3128'\nKEDGE_INSTALL_BIN_DIR='/usr/local/bin'\n"+
		"KEDGE_INSTALL_EXEC='agent --node-label site=12 --data-dir \"/srv/my kedge\"'\nKEDGE_TOKEN='K1x'\nKEDGE_URL='https://server.example:6443'\n")
	unsetting(t, "HTTPS_PROXY", "KEDGE_INSTALL_BIN_DIR", installExec, "KEDGE_TOKEN", "KEDGE_URL", "KEDGE_CONFIG")
	return path
}

func TestServiceIsWhatIsMeantWhereNothingIsSaid(t *testing.T) {
	path := installedAgent(t)
	var said strings.Builder
	role, flags, err := orService(path, "", nil, &said)
	if err != nil || role != "agent" || !slices.Equal(flags, []string{"--node-label", "site=12", "--data-dir", "/srv/my kedge"}) {
		t.Fatalf("%q %q %v", role, flags, err)
	}
	if !strings.Contains(said.String(), path) {
		t.Errorf("nobody is told: %q", said.String())
	}
	daemon, err := daemonOfRole(role, flags)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := loadOptions(daemon); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"server": "https://server.example:6443", "token": "K1x", "data-dir": "/srv/my kedge"} {
		if got := daemon.Flags().Lookup(name).Value.String(); got != want {
			t.Errorf("%s is %q", name, got)
		}
	}
	if os.Getenv("HTTPS_PROXY") != "http://proxy.example:3128" {
		t.Error("the proxy of the service is not used")
	}
}

func TestWhatIsSaidCountsAndNotTheService(t *testing.T) {
	path := installedAgent(t)
	for name, say := range map[string]func() (string, []string, error){
		"role":  func() (string, []string, error) { return orService(path, "server", nil, io.Discard) },
		"flags": func() (string, []string, error) { return orService(path, "", []string{"--debug"}, io.Discard) },
		"variable": func() (string, []string, error) {
			t.Setenv("KEDGE_DATA_DIR", "/x")
			return orService(path, "", nil, io.Discard)
		},
	} {
		role, flags, err := say()
		if err != nil || role == "agent" || len(flags) > 1 || os.Getenv("KEDGE_URL") != "" {
			t.Errorf("%s: %q %q %v", name, role, flags, err)
		}
		unsetting(t, "KEDGE_DATA_DIR")
	}
	if role, flags, err := orService(path+".not", "", nil, io.Discard); role != "" || flags != nil || err != nil {
		t.Errorf("without a service: %q %q %v", role, flags, err)
	}
}
