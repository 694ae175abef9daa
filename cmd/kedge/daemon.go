package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/kedge-io/kedge/agent/host"
	"github.com/kedge-io/kedge/internal/clock"
	"github.com/kedge-io/kedge/internal/health"
	"github.com/kedge-io/kedge/internal/kubeclient"
	"github.com/kedge-io/kedge/internal/lifecycle"
	"github.com/kedge-io/kedge/internal/logx"
	"github.com/kedge-io/kedge/internal/version"
)

// stopTimeout bounds an orderly stop. systemd's own default is far longer, and
// a machine that loses power in a minute must not wait for it.
const stopTimeout = 15 * time.Second

// daemon runs one group of components and tells the world how it is.
type daemon struct {
	role       string
	id         identity
	log        *slog.Logger
	healthAddr string
	started    time.Time
	clock      *clock.Clock
	conditions []health.Condition
	// facts, where set, are further conditions as they are now.
	facts   func() []health.Condition
	group   *lifecycle.Group
	claim   *claim
	ran     bool
	settled func() // ends what is special about memory during the start
	// handlers answer at the status socket below their paths.
	handlers map[string]http.Handler
}

// newDaemon reads the options. It touches nothing on disk.
func newDaemon(cmd *cobra.Command, role string, o *nodeOptions) (*daemon, error) {
	resolved, err := loadOptions(cmd)
	if err != nil {
		return nil, err
	}
	d := &daemon{role: role, healthAddr: o.healthAddress, started: time.Now(), settled: tuneStart()}
	d.log = logx.Setup(os.Stderr, o.debug)
	for _, w := range resolved.Warnings {
		d.log.Warn(w)
	}
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("kedge %s must run as root (it makes namespaces, mounts and firewall rules): use sudo or the systemd unit", role)
	}
	if err := os.Setenv("PATH", completePath(os.Getenv("PATH"))); err != nil {
		return nil, fmt.Errorf("complete the search path: %w", err)
	}
	if d.id, err = o.identity(); err != nil {
		return nil, err
	}
	d.clock = clock.Open(d.id.layout.LastSeen(), built(), nil)
	kubeclient.UseClock(d.clock.Now)
	return d, nil
}

// clockComponent notes the time and tells while the machine's clock is wrong.
func (d *daemon) clockComponent() lifecycle.Component {
	return d.clock.Component(d.log.With("component", clock.ComponentName), func(err error) { d.report(clock.ComponentName, err) })
}

// report is handed to the parts before the group exists.
func (d *daemon) report(component string, err error) {
	if d.group != nil {
		d.group.Report(component, err)
	}
}

// adapted shows what the host lacks in kedge status.
func (d *daemon) adapted(found []host.Condition) {
	for _, c := range found {
		status := health.ConditionAdapted
		if c.Status == host.Degraded {
			status = health.ConditionWarning
		}
		message := c.Message
		if c.Remedy != "" {
			message += " (" + c.Remedy + ")"
		}
		d.conditions = append(d.conditions, health.Condition{Name: c.Name, Status: status, Message: message})
	}
}

// run runs the components until ctx ends or one of them fails.
func (d *daemon) run(ctx context.Context, comps []lifecycle.Component) error {
	var err error
	if d.group, err = lifecycle.NewGroup(d.log, comps...); err != nil {
		return err
	}
	server, err := health.Listen(d.id.layout.StatusSocket(), d.healthAddr)
	if err != nil {
		return err
	}
	defer server.Close()
	for path, h := range d.handlers {
		server.Handle(path, h)
	}
	d.ran = true
	// The status outlives the stop of the components, so that somebody who
	// waits for it sees what is still stopping.
	watch, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	go func() {
		if err := server.Serve(watch, d.status); err != nil {
			d.log.Error("the status is not served", "error", err)
		}
	}()
	notified := make(chan struct{})
	go func() {
		defer close(notified)
		health.Notify(ctx, d.log, d.status)
	}()
	// kubelet would tell systemd READY for us, long before it is true.
	_ = os.Unsetenv("NOTIFY_SOCKET")
	_ = os.Unsetenv("WATCHDOG_USEC")

	d.log.Info("kedge starts", "role", d.role, "version", version.Kedge, "node", d.id.name, "data-dir", d.id.layout.DataDir)
	err = d.wait(ctx, comps)
	<-notified
	if err == nil {
		d.log.Info("kedge has stopped")
	}
	return err
}

// wait runs the group and gives up on a stop that takes too long.
func (d *daemon) wait(ctx context.Context, comps []lifecycle.Component) error {
	runCtx, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(ctx, logx.Stopping)()
	done := make(chan error, 1)
	go func() { done <- d.group.Run(runCtx) }()
	failed := d.failure(runCtx)
	go d.trim(runCtx, d.settled)
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	case <-failed:
	}
	select {
	case err := <-done:
		return err
	case <-time.After(stopTimeout):
		return fmt.Errorf("stop took longer than %s, ended with these still running: %v", stopTimeout, d.stillRunning())
	}
}

// failure is closed when a component has failed: from then on the group stops.
func (d *daemon) failure(ctx context.Context) <-chan struct{} {
	failed := make(chan struct{})
	go func() {
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		for {
			for _, s := range d.group.Status() {
				if s.State == lifecycle.StateFailed {
					close(failed)
					return
				}
			}
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
		}
	}()
	return failed
}

func (d *daemon) stillRunning() []string {
	var names []string
	for _, s := range d.group.Status() {
		if s.State != lifecycle.StateStopped && s.State != lifecycle.StateFailed {
			names = append(names, s.Name)
		}
	}
	return names
}

func (d *daemon) status() health.Report {
	conditions := d.conditions
	if d.facts != nil {
		conditions = slices.Concat(conditions, d.facts())
	}
	return health.Report{
		Role: d.role, Node: d.id.name, Version: version.Kedge, DataDir: d.id.layout.DataDir,
		PID: os.Getpid(), Started: d.started, Components: d.group.Status(), Conditions: conditions,
	}
}
