package health

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// How often the state is looked at for systemd. Being ready is told soon;
// later only the status line and the watchdog need it.
const (
	pollStarting = 200 * time.Millisecond
	pollReady    = 5 * time.Second
)

// maxPendingNames bounds the status line that systemctl shows.
const maxPendingNames = 5

// Notify tells systemd what src says until ctx ends: READY=1 once, a status
// line at every change, WATCHDOG=1 in time while no component has failed, and
// STOPPING=1 at the end. Not started by systemd, it returns at once.
func Notify(ctx context.Context, log *slog.Logger, src Source) {
	sent, err := daemon.SdNotify(false, "STATUS=starting")
	if err != nil {
		log.Warn("systemd cannot be notified", "error", err)
	}
	if !sent {
		return
	}
	defer func() { _, _ = daemon.SdNotify(false, daemon.SdNotifyStopping+"\nSTATUS=stopping") }()
	watchdog, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("systemd watchdog cannot be served", "error", err)
	}
	n := notifier{watchdog: watchdog > 0}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		if message := n.message(src()); message != "" {
			// A datagram that is lost is followed by the next; systemd itself
			// acts when none comes.
			_, _ = daemon.SdNotify(false, message)
		}
		timer.Reset(n.interval(watchdog))
	}
}

// notifier remembers what systemd knows.
type notifier struct {
	watchdog bool
	ready    bool
	status   string
}

func (n *notifier) interval(watchdog time.Duration) time.Duration {
	d := pollReady
	if !n.ready {
		d = pollStarting
	}
	if watchdog > 0 {
		d = min(d, watchdog/3)
	}
	return d
}

// message returns what to send for r, "" for nothing new.
func (n *notifier) message(r Report) string {
	var lines []string
	if !n.ready && len(r.Pending()) == 0 {
		n.ready = true
		lines = append(lines, daemon.SdNotifyReady)
	}
	if s := statusLine(r); s != n.status {
		n.status = s
		lines = append(lines, "STATUS="+s)
	}
	if n.watchdog && len(r.Failed()) == 0 {
		lines = append(lines, daemon.SdNotifyWatchdog)
	}
	return strings.Join(lines, "\n")
}

func statusLine(r Report) string {
	if failed := r.Failed(); len(failed) > 0 {
		return "failed: " + oneLine(failed[0])
	}
	pending := r.Pending()
	if len(pending) == 0 {
		return fmt.Sprintf("%d components ready", len(r.Components))
	}
	more := ""
	if extra := len(pending) - maxPendingNames; extra > 0 {
		pending, more = pending[:maxPendingNames], fmt.Sprintf(" and %d more", extra)
	}
	return "waiting for " + strings.Join(pending, ", ") + more
}
