package runtime

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const (
	defaultGrace = 30 * time.Second
	parallelStop = 8 // pods stopped at a time
)

// ResetConfig is what [Reset] removes. Nothing of it needs a running daemon.
type ResetConfig struct {
	Config
	// CgroupRoot is kubelet's cgroup root as a path inside each hierarchy.
	// Empty means "/".
	CgroupRoot string
	// Grace bounds the orderly stop of all pods together; after it processes
	// are killed. Zero means 30 s.
	Grace time.Duration
	// KeepData leaves images and what containers were: what remains is as after a
	// boot.
	KeepData bool
	// LogRoot is where a default layout keeps pods/ and containers/. Empty
	// means /var/log.
	LogRoot string
}

// Leftover is something that could not be removed.
type Leftover struct {
	// What is the kind: process, mount, folder, cgroup, log.
	What string
	// Where is its path or pid.
	Where string
	Err   error
}

func (l Leftover) Error() string { return fmt.Sprintf("%s %s: %v", l.What, l.Where, l.Err) }

func (l Leftover) Unwrap() error { return l.Err }

// Reset ends every container, shim and containerd of the data directory and
// removes its mounts, state, images, cgroups and container logs. The daemon
// must not be running: it would start containerd again. Another containerd on
// the host, its containers and its cgroups are not touched. Safe to repeat.
// What could not be removed is returned; an empty list means a clean host.
func Reset(ctx context.Context, cfg ResetConfig) []Leftover {
	if err := cfg.Validate(); err != nil {
		return []Leftover{{What: "folder", Where: cfg.Layout.DataDir, Err: err}}
	}
	cfg.Config = cfg.WithDefaults()
	if cfg.Grace == 0 {
		cfg.Grace = defaultGrace
	}
	if cfg.CgroupRoot == "" {
		cfg.CgroupRoot = "/"
	}
	if cfg.LogRoot == "" {
		cfg.LogRoot = "/var/log"
	}
	r := &reset{cfg: cfg, proc: hostProc, uids: podUIDs(cfg.Layout.Kubelet())}
	r.stopDaemon(ctx)
	r.killAll(ctx)
	r.unmountAll()
	r.removeCgroups()
	r.removeLogs()
	r.removeRuncStates()
	l := cfg.Layout
	r.removeTree(l.ContainerdState())
	if !cfg.KeepData {
		r.removeTree(l.Containerd())
	}
	if err := os.Remove(cfg.recordFile()); err != nil && !errors.Is(err, os.ErrNotExist) {
		r.left("folder", cfg.recordFile(), err)
	}
	_ = os.Remove(l.RunDir) // only if nothing else is in it
	return r.leftovers
}

// reset is one run of Reset.
type reset struct {
	cfg     ResetConfig
	proc    procFS
	uids    map[string]bool // pods that kubelet knew
	cgroups []cgroupRef     // where containers were
	// runcStates are folders of hand-made containers outside our own.
	runcStates []string
	leftovers  []Leftover
}

func (r *reset) left(what, where string, err error) {
	r.leftovers = append(r.leftovers, Leftover{What: what, Where: where, Err: err})
}

// podUIDs lists the pods below kubelet's root: their folders are named so.
func podUIDs(kubelet string) map[string]bool {
	out := map[string]bool{}
	entries, err := os.ReadDir(filepath.Join(kubelet, "pods"))
	if err != nil {
		return out
	}
	for _, e := range entries {
		out[e.Name()] = true
	}
	return out
}

// stopDaemon lets containerd end the pods in order, which also gives back
// addresses and port mappings, and then ends containerd itself. Troubles are
// no leftovers yet: killing follows.
func (r *reset) stopDaemon(ctx context.Context) {
	c := child{cfg: r.cfg.Config, log: slog.New(slog.DiscardHandler), proc: r.proc}
	_, held := c.find()
	if held == nil {
		return
	}
	defer held.close()
	limited, cancel := context.WithTimeout(ctx, r.cfg.Grace)
	r.stopPods(limited)
	cancel()
	if err := held.end(ctx, stopGrace); err != nil {
		r.left("process", fmt.Sprint(held.pid), err)
	}
}

// stopPods stops and removes every pod through CRI.
func (r *reset) stopPods(ctx context.Context) {
	client, err := r.cfg.dial()
	if err != nil {
		return
	}
	defer func() { _ = client.Close() }()
	rt := criOf(client)
	resp, err := rt.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{})
	if err != nil {
		return
	}
	var wg sync.WaitGroup
	slots := make(chan struct{}, parallelStop)
	for _, pod := range resp.GetItems() {
		r.uids[pod.GetMetadata().GetUid()] = true
		wg.Add(1)
		go func() {
			defer wg.Done()
			slots <- struct{}{}
			defer func() { <-slots }()
			if _, err := rt.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: pod.GetId()}); err == nil {
				_, _ = rt.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: pod.GetId()})
			}
		}()
	}
	wg.Wait()
}
