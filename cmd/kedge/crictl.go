package main

import (
	"fmt"
	"os"

	"github.com/kedge-io/kedge/internal/crictl"
)

// crictlMain is crictl, pointed at kedge's container runtime.
func crictlMain(args []string) int {
	socket := "unix://" + localLayout().ContainerdSocket()
	err := setDefaultEnv(map[string]string{
		"CONTAINER_RUNTIME_ENDPOINT": socket,
		"IMAGE_SERVICE_ENDPOINT":     socket,
	})
	if err != nil {
		fmt.Fprintf(os.Stderr, "crictl: %v\n", err)
		return exitFailure
	}
	return crictl.Main(args)
}
