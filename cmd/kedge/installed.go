package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// launcherEnv names the file that cmd/launcher was started from: what a person
// installed and replaces, while the running program is a copy in a slot.
const launcherEnv = "KEDGE_LAUNCHER"

// installedProgram is the file to name wherever kedge will be started again,
// such as in units: the release file when this process came from one, else the
// running program.
func installedProgram() (string, error) {
	if path := os.Getenv(launcherEnv); filepath.IsAbs(path) {
		return path, nil
	}
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find this program: %w", err)
	}
	return self, nil
}
