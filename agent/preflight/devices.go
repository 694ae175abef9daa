package preflight

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"github.com/vishvananda/netlink"

	"github.com/kedge-io/kedge/agent/bandwidth/classify"
	"github.com/kedge-io/kedge/agent/bandwidth/shape"
	"github.com/kedge-io/kedge/agent/network/tun"
	"github.com/kedge-io/kedge/internal/finding"
)

// links tries namespaces and what the pod network makes in them.
func (m *machine) links(context.Context) []finding.Finding {
	if !m.root() {
		return nil
	}
	if err := canUnshare(); err != nil {
		return one(finding.Namespaces, finding.Error, "namespaces cannot be made: %v", err)
	}
	out := one(finding.Namespaces, finding.OK, "network, mount, PID, IPC and UTS namespaces can be made")
	return append(out, tried(finding.Links, finding.Error, "veth pairs and bridges can be made", tryLinks),
		tried(finding.TUN, finding.Warning, "TUN devices can be made", tryTUN))
}

// tried is the finding about something that either works or does not.
func tried(id finding.ID, s finding.Severity, well string, try func() error) finding.Finding {
	if err := apart(try); err != nil {
		return finding.New(id, s, "%v", err)
	}
	return finding.New(id, finding.OK, "%s", well)
}

func tryLinks() error {
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "kedge-try"}}
	if err := netlink.LinkAdd(bridge); err != nil {
		return fmt.Errorf("make a bridge: %w", err)
	}
	pair := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "kedge-try0"}, PeerName: "kedge-try1"}
	if err := netlink.LinkAdd(pair); err != nil {
		return fmt.Errorf("make a veth pair: %w", err)
	}
	if err := netlink.LinkSetMaster(pair, bridge); err != nil {
		return fmt.Errorf("put a veth link into a bridge: %w", err)
	}
	return nil
}

func tryTUN() error {
	d, err := tun.Open("kedge-try2")
	if err != nil {
		return err
	}
	return d.Close()
}

// shaping tries what bandwidth of pods is shaped with.
func (m *machine) shaping(context.Context) []finding.Finding {
	if !m.root() {
		return nil
	}
	var queues shape.Abilities
	shaped := tried(finding.Shaping, finding.Warning, "limits and guarantees of bandwidth can be had", func() (err error) {
		queues, err = shape.Probe()
		return err
	})
	if shaped.Severity == finding.OK && len(queues.Reasons) > 0 {
		shaped = finding.New(finding.Shaping, finding.Info, "%s", queues.Reasons[0])
	}
	can, err := classify.Probe()
	out := []finding.Finding{shaped}
	switch {
	case err != nil:
		return append(out, finding.New(finding.Classifying, finding.Warning, "%v", err))
	case len(can.Reasons) == 0:
		return append(out, finding.New(finding.Classifying, finding.OK, "packets of containers can be told apart"))
	}
	for _, reason := range can.Reasons {
		out = append(out, finding.New(finding.Classifying, finding.Info, "%s", reason))
	}
	return out
}

// overlay tries a mount where layers of images will be.
func (m *machine) overlay(context.Context) []finding.Finding {
	if !m.root() {
		return nil
	}
	err := apart(func() error { return m.probe.Overlay(m.cfg.Layout.DataDir) })
	switch {
	case err == nil:
		return one(finding.Overlay, finding.OK, "overlayfs works in the data directory")
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EROFS), errors.Is(err, syscall.EDQUOT):
		return nil // what is wrong is the disk, which is said of it
	}
	return one(finding.Overlay, finding.Warning, "%v", err)
}
