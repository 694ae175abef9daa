package main

import (
	"os"
	"slices"
	"testing"

	"github.com/kedge-io/kedge/internal/paths"
)

func TestFootprintKeepsWhatFormerStartsUsed(t *testing.T) {
	layout := paths.New(t.TempDir())
	for _, start := range [][2]string{{"/", "/etc/kedge/kedge.yaml"}, {"/edge", ""}, {"/", "/home/ops/config"}} {
		if err := noteFootprint(layout, start[0], start[1]); err != nil {
			t.Fatal(err)
		}
	}
	f, err := readFootprint(layout)
	if err != nil || !slices.Equal(f.CgroupRoots, []string{"/", "/edge"}) ||
		!slices.Equal(f.Kubeconfigs, []string{"/etc/kedge/kedge.yaml", "/home/ops/config"}) {
		t.Errorf("got %+v, %v", f, err)
	}
}

func TestTornFootprintIsWrittenAnew(t *testing.T) {
	layout := paths.New(t.TempDir())
	if err := os.WriteFile(footprintFile(layout), []byte(`{"cgroup`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readFootprint(layout); err == nil {
		t.Error("a torn file was read without an error")
	}
	if err := noteFootprint(layout, "/", ""); err != nil {
		t.Fatal(err)
	}
	if f, err := readFootprint(layout); err != nil || len(f.CgroupRoots) != 1 {
		t.Errorf("got %+v, %v", f, err)
	}
}

func TestUnitOfAProcess(t *testing.T) {
	for cgroups, want := range map[string]string{
		"0::/system.slice/kedge.service\n":                                         "kedge.service",
		"12:cpu:/\n1:name=systemd:/system.slice/kedge-agent.service\n0::/\n":       "kedge-agent.service",
		"0::/user.slice/user-0.slice/session-1.scope\n":                            "",
		"12:pids:/system.slice/x.service\n0::/lab/server/procs\n":                  "",
		"0::/system.slice/ssh.service\n":                                           "",
		"1:name=systemd:/system.slice/kedge.service/sub\n0::/system.slice/other\n": "kedge.service",
	} {
		if got := unitIn(cgroups); got != want {
			t.Errorf("%q: got %q, want %q", cgroups, got, want)
		}
	}
}
