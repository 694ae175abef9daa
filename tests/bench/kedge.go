package main

import (
	"context"
	"errors"
	"os"
	"slices"
	"time"

	"k8s.io/client-go/rest"

	"github.com/kedge-io/kedge/tests/lab"
	"github.com/kedge-io/kedge/tests/lab/cluster"
)

// kedgeServer is kedge server with its node.
type kedgeServer struct {
	host *lab.Host
	path string   // of the executable
	args []string // the first is server or agent
	proc *lab.Proc
}

func (k *kedgeServer) name() string { return "kedge" }

func (k *kedgeServer) prepare(ctx context.Context) error {
	return errors.Join(copyProgram(k.path, k.host.OnDisk("/usr/local/bin/kedge")), cluster.InstallApp(ctx, k.host, dataDir))
}

func (k *kedgeServer) start(context.Context) error {
	var err error
	k.proc, err = k.host.Start("kedge", slices.Concat([]string{"/usr/local/bin/kedge"}, k.args,
		[]string{"--node-name", k.host.Name(), "--cgroup-root", k.host.CgroupRoot()})...)
	return err
}

func (k *kedgeServer) config() (*rest.Config, error) {
	return cluster.RESTConfig(k.host, "/etc/kedge/kedge.yaml")
}

func (k *kedgeServer) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	_ = k.proc.Stop(ctx)
}

// copyProgram makes a file of its own, so that hosts share no pages and the
// proportional memory of one does not depend on the others.
func copyProgram(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o755)
}
