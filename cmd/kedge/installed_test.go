package main

import (
	"os"
	"testing"
)

func TestInstalledProgramIsTheReleaseFile(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for env, want := range map[string]string{"": self, "kedge": self, "/usr/local/bin/kedge": "/usr/local/bin/kedge"} {
		t.Setenv(launcherEnv, env)
		if got, err := installedProgram(); err != nil || got != want {
			t.Errorf("with %q: %q, %v; want %q", env, got, err, want)
		}
	}
}
