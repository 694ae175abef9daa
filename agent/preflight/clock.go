package preflight

import (
	"context"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/agent/firewall/hostfacts"
	"github.com/kedge-io/kedge/internal/clock"
	"github.com/kedge-io/kedge/internal/finding"
)

// clock looks whether the time can be right, and whether somebody keeps it right.
func (m *machine) clock(context.Context) []finding.Finding {
	now := m.now()
	floor := clock.Epoch
	if m.cfg.Built.After(floor) {
		floor = m.cfg.Built
	}
	if now.Before(floor) {
		return one(finding.ClockBuild, finding.Warning, "the clock shows %s, this program was built at %s", now.UTC().Format(time.RFC3339), floor.UTC().Format(time.RFC3339))
	}
	out := one(finding.ClockBuild, finding.OK, "the clock shows %s", now.UTC().Format(time.RFC3339))
	state, status, err := m.adjtime()
	switch {
	case err != nil:
		return out // a container may not ask
	case state == unix.TIME_ERROR || status&unix.STA_UNSYNC != 0:
		return append(out, m.unsynchronised())
	}
	return append(out, finding.New(finding.TimeSync, finding.OK, "the clock is synchronised"))
}

// unsynchronised tells a clock that nobody sets from one that will be set. The state
// is that of the kernel's clock; a virtual machine whose host keeps the time has it,
// too.
func (m *machine) unsynchronised() finding.Finding {
	const text = "the kernel says that nothing synchronises the clock"
	if servers := hostfacts.TimeServers("/"); len(servers) > 0 {
		return finding.New(finding.TimeSync, finding.Info, text+"; servers are configured (%s)", servers[0])
	}
	if m.there("dev/ptp0") || m.there("sys/hypervisor/type") {
		return finding.New(finding.TimeSync, finding.Info, text+"; the machine is virtual and its host may do so")
	}
	return finding.New(finding.TimeSync, finding.Warning, text+", and no time server is configured")
}
