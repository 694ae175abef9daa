package main

import (
	"fmt"
	"os"

	"github.com/containerd/containerd/v2/cmd/ctr/app"
	"github.com/kedge-io/kedge/agent/runtime"
)

// ctrMain is containerd's client, pointed at kedge's socket and at the
// namespace in which Kubernetes keeps its containers.
func ctrMain(args []string) int {
	err := setDefaultEnv(map[string]string{
		"CONTAINERD_ADDRESS":   localLayout().ContainerdSocket(),
		"CONTAINERD_NAMESPACE": runtime.Namespace,
	})
	if err == nil {
		err = app.New().Run(append([]string{"ctr"}, args...))
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "ctr: %v\n", err)
		return exitFailure
	}
	return exitOK
}
