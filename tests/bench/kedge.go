package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
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

// forget takes programs out of the page cache. What was just written lies there
// in pages of up to 2 MiB, each of which counts as resident as a whole when a
// byte of it is used; a program that was read after a boot does not.
func forget(h *lab.Host) error {
	files, err := filepath.Glob(h.OnDisk("/usr/local/bin/*"))
	if err != nil {
		return err
	}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		err = errors.Join(f.Sync(), unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED), f.Close())
		if err != nil {
			return fmt.Errorf("forget %s: %w", name, err)
		}
	}
	return nil
}
