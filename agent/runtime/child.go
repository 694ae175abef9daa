package runtime

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/kedge-io/kedge/internal/fsx"
)

// stopGrace is how long containerd may take to close its database.
const stopGrace = 10 * time.Second

// child finds, starts and replaces the containerd process of one data
// directory.
type child struct {
	cfg  Config
	log  *slog.Logger
	proc procFS
}

// ensure returns the running containerd, adopted or new, and whether it is
// new.
func (c *child) ensure(ctx context.Context) (*process, bool, error) {
	want, err := c.prepare()
	if err != nil {
		return nil, false, err
	}
	found, held := c.find()
	switch judge(found, want, held != nil) {
	case adopt:
		c.log.Info("containerd adopted", "pid", held.pid)
		return held, false, nil
	case replace:
		c.log.Info("containerd replaced: program or configuration changed", "pid", held.pid)
		if err := held.end(ctx, stopGrace); err != nil {
			held.close()
			return nil, false, fmt.Errorf("replace containerd: %w", err)
		}
		held.close()
	}
	p, err := c.start(want)
	return p, true, err
}

// find returns the record of our running containerd and a hold on it, or no
// hold when there is none.
func (c *child) find() (record, *process) {
	found := readRecord(c.cfg.recordFile())
	if found.PID != 0 && found.BootID == c.proc.bootID() {
		if held, err := hold(c.proc, found.PID, found.Start); err == nil {
			return found, held
		}
	}
	// A crash between start and record, or a lost run directory.
	stray, ok := findStray(c.proc, c.cfg.configFile())
	if !ok {
		return record{}, nil
	}
	held, err := hold(c.proc, stray.PID, stray.Start)
	if err != nil {
		return record{}, nil
	}
	return stray, held
}

// prepare writes folders and configuration and returns what a containerd
// started now would be.
func (c *child) prepare() (record, error) {
	l := c.cfg.Layout
	for dir, mode := range map[string]os.FileMode{
		l.RunDir: 0o755, l.ContainerdState(): 0o711, c.cfg.shimSockets(): 0o700,
		l.Containerd(): 0o700, l.Logs(): 0o700, l.CNIConfig(): 0o700,
		c.cfg.certsDir(): 0o755, filepath.Dir(c.cfg.dropIns()): 0o755,
	} {
		if err := os.MkdirAll(dir, mode); err != nil {
			return record{}, fmt.Errorf("make folder for containerd: %w", err)
		}
	}
	text, err := c.cfg.configText()
	if err != nil {
		return record{}, err
	}
	if _, err := fsx.WriteFileIfChanged(c.cfg.configFile(), text, 0o600); err != nil {
		return record{}, fmt.Errorf("containerd configuration: %w", err)
	}
	want := record{BootID: c.proc.bootID()}
	if want.Config, err = configHash(text, c.cfg.dropIns()); err != nil {
		return record{}, err
	}
	if want.Exe, err = fileID(c.cfg.Command[0]); err != nil {
		return record{}, fmt.Errorf("containerd program: %w", err)
	}
	return want, nil
}

// start runs containerd in a session of its own, so that neither the end of
// the daemon nor a signal to its terminal reaches it, and records it.
func (c *child) start(want record) (*process, error) {
	logFile, err := openLog(c.cfg.logFile())
	if err != nil {
		return nil, err
	}
	defer func() { _ = logFile.Close() }()

	args := append(append([]string{}, c.cfg.Command[1:]...), "--config", c.cfg.configFile())
	cmd := exec.Command(c.cfg.Command[0], args...) //nolint:gosec // the command is our own program
	cmd.Dir = "/"
	cmd.Env = childEnv(c.cfg.Env, c.cfg.Layout.CurrentBin())
	cmd.Stdout, cmd.Stderr = logFile, logFile
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start containerd: %w", err)
	}
	// Reaps the child if it ends while this daemon lives; init does it later.
	st, statErr := c.proc.stat(cmd.Process.Pid)
	pid := cmd.Process.Pid
	held, holdErr := hold(c.proc, pid, st.Start)
	go func() { _ = cmd.Wait() }()
	if err := errors.Join(statErr, holdErr); err != nil {
		return nil, fmt.Errorf("containerd ended at once, see %s: %w", c.cfg.logFile(), err)
	}
	want.PID, want.Start = pid, st.Start
	if err := want.write(c.cfg.recordFile()); err != nil {
		// The stray scan finds it again; better a running node than none.
		c.log.Warn("containerd not recorded", "error", err)
	}
	c.log.Info("containerd started", "pid", pid, "log", c.cfg.logFile())
	return held, nil
}

// passedOn are the variables that containerd may see. Everything else stays
// here: tokens of the daemon, the notification socket of systemd (containerd
// would report ready in our name) and tuning of our own heap.
var passedOn = []string{
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
	"SSL_CERT_FILE", "SSL_CERT_DIR", "TZ", "HOME",
}

// childEnv builds containerd's environment: the bundle's programs come first
// in the search path.
func childEnv(env []string, bin string) []string {
	get := func(name string) (string, bool) {
		for _, kv := range env {
			if v, ok := strings.CutPrefix(kv, name+"="); ok {
				return v, true
			}
		}
		return "", false
	}
	path, ok := get("PATH")
	if !ok {
		path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	}
	out := []string{"PATH=" + bin + ":" + path}
	for _, name := range passedOn {
		if v, ok := get(name); ok {
			out = append(out, name+"="+v)
		}
	}
	return out
}
