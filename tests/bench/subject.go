package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kedge-io/kedge/tests/lab"
)

// subject is a cluster of one node that can be started on a host.
type subject interface {
	name() string
	// prepare does what a user has done before: installed programs, and for
	// the baseline certificates and configuration as well. It is not timed.
	prepare(ctx context.Context) error
	// start starts every program and returns at once.
	start(ctx context.Context) error
	// config is the administrator's; it fails while there is none yet.
	config() (*rest.Config, error)
	// stop ends the programs that start started.
	stop()
}

// dataDir is the host's plain disk, for both subjects.
const dataDir = "/var/lib/kedge"

// client makes a client that does not hold back requests.
func client(s subject) (*kubernetes.Clientset, error) {
	config, err := s.config()
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = -1, -1
	return kubernetes.NewForConfig(config)
}

// processes lists what runs on the host: host process id to a readable name.
// Containers have process namespaces of their own and are not in the list.
func processes(h *lab.Host) (map[int]string, error) {
	own, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", h.InitPID()))
	if err != nil {
		return nil, fmt.Errorf("look at host %s: %w", h.Name(), err)
	}
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	found := map[int]string{}
	for _, dir := range dirs {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		if ns, err := os.Readlink(dir + "/ns/pid"); err != nil || ns != own || pid == h.InitPID() {
			continue
		}
		if text, err := os.ReadFile(dir + "/cmdline"); err == nil && len(text) > 0 {
			found[pid] = programName(strings.Split(string(text), "\x00"))
		}
	}
	return found, nil
}

// programName is the word that tells processes of one executable apart.
func programName(argv []string) string {
	name := filepath.Base(argv[0])
	if (name == "kedge" || name == "exe" || name == "upstream") && len(argv) > 1 {
		if argv[1] == "containerd" || name == "upstream" {
			return argv[1]
		}
		return "kedge " + argv[1]
	}
	return name
}

// cpuTime is the processor time that the host's processes and containers have
// used so far.
func cpuTime(h *lab.Host) (time.Duration, error) {
	if text, err := os.ReadFile("/sys/fs/cgroup/cpuacct" + h.CgroupRoot() + "/cpuacct.usage"); err == nil {
		n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		return time.Duration(n), err
	}
	text, err := os.ReadFile("/sys/fs/cgroup" + h.CgroupRoot() + "/cpu.stat")
	if err != nil {
		return 0, fmt.Errorf("read processor time: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if n, ok := strings.CutPrefix(line, "usage_usec "); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(n), 10, 64)
			return time.Duration(n) * time.Microsecond, err
		}
	}
	return 0, fmt.Errorf("no usage_usec in cpu.stat of %s", h.Name())
}
