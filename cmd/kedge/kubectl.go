package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kedge-io/kedge/internal/paths"
	"k8s.io/component-base/cli"
	"k8s.io/component-base/logs"
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
)

// kubectlMain is upstream's kubectl, pointed at the local cluster.
func kubectlMain(args []string) int {
	kubeconfig, err := chooseKubeconfig(args, kubeconfigCandidates(), userKubeconfig())
	if err == nil && kubeconfig != "" {
		err = setDefaultEnv(map[string]string{"KUBECONFIG": kubeconfig})
	}
	if err != nil {
		return report(os.Stderr, err)
	}
	// kubectl reads the process's arguments in several places.
	os.Args = append([]string{"kubectl"}, args...)
	_, _ = logs.GlogSetter(kubectl.GetLogVerbosity(os.Args)) // as upstream: a wrong level is refused later, with the flags
	if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
		kubectlutil.CheckErr(err) // prints and ends the process with kubectl's code
		return exitFailure
	}
	return exitOK
}

// kubeconfigCandidates are the places where a server of this host writes the
// administrator's kubeconfig, best first.
func kubeconfigCandidates() []string {
	if written := peek("write-kubeconfig"); written != "" {
		return []string{written}
	}
	layout := localLayout()
	if layout.DataDir != paths.DefaultDataDir {
		return []string{filepath.Join(layout.ServerCred(), "admin.kubeconfig"), paths.DefaultKubeconfig}
	}
	return []string{paths.DefaultKubeconfig}
}

// userKubeconfig is kubectl's own default, "" when it cannot be named.
func userKubeconfig() string {
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, ".kube", "config")
}

// chooseKubeconfig returns the first candidate that exists, or "" when kubectl
// should look for itself: the user named a file or a server, the command needs
// no cluster, or only kubectl's own default exists. A candidate that exists
// but cannot be read is an error: another file may mean another cluster.
func chooseKubeconfig(args, candidates []string, user string) (string, error) {
	if os.Getenv("KUBECONFIG") != "" || !needsCluster(args) {
		return "", nil
	}
	for _, path := range candidates {
		f, err := os.Open(path)
		switch {
		case err == nil:
			return path, f.Close()
		case errors.Is(err, fs.ErrPermission):
			return "", fmt.Errorf("kubeconfig %s is not readable for this user: run it with sudo, or copy the file and set KUBECONFIG", path)
		case !errors.Is(err, fs.ErrNotExist):
			return "", fmt.Errorf("kubeconfig: %w", err)
		}
	}
	if _, err := os.Stat(user); user != "" && err == nil {
		return "", nil
	}
	return "", fmt.Errorf("kubeconfig %s does not exist: start \"kedge server\" on this host, or copy the file from a server and set KUBECONFIG", candidates[0])
}

// offline are the commands of kubectl that work without a cluster.
var offline = []string{"help", "completion", "kustomize", "plugin", "options", "config", "__complete", "__completeNoDesc"}

// needsCluster reports whether kubectl would have to be told where the cluster
// is. Words after "--" belong to a program inside a container.
func needsCluster(args []string) bool {
	command := ""
	for _, a := range args {
		name, _, _ := strings.Cut(a, "=")
		switch {
		case a == "--":
			return command != ""
		case slices.Contains([]string{"-h", "--help", "--kubeconfig", "--server", "-s", "--client"}, name):
			return false
		case command == "" && !strings.HasPrefix(a, "-"):
			command = a
		}
	}
	return command != "" && !slices.Contains(offline, command)
}
