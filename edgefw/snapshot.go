package edgefw

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/kedge-io/kedge/edgefw/apply"
	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/plan"
	"github.com/kedge-io/kedge/edgefw/protocol"
	"github.com/kedge-io/kedge/edgefw/view"
)

// seen is what snapshots are made of.
type seen struct {
	wanted           uint64
	wantedAt         time.Time
	enforced, proven uint64
	state            protocol.State
	reason           string
	undecided        bool
	minimal          bool
	took             time.Duration
	way              apply.Way
	wish             apply.Wish
	unenforced       []string
	// held is what came from disk, until a server says something.
	held *model.Ruleset
}

// noteWanted remembers since when a revision is wished for.
func (s *seen) noteWanted(in *incoming) {
	if in != nil {
		s.wanted, s.wantedAt = in.revision, in.at
	}
}

// update changes what snapshots are made of.
func (l *Loop) update(change func(*seen)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(&l.seen)
}

func (l *Loop) look() seen {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seen
}

// Snapshot is how far the node is. Its name is left to the caller.
func (l *Loop) Snapshot() view.Node {
	s := l.look()
	n := view.Node{
		Time: time.Now(), Wanted: s.wanted, Enforced: s.enforced, Proven: s.proven,
		State: string(s.state), Reason: s.reason, Undecided: s.undecided, Minimal: s.minimal,
		Took: s.took, Way: string(s.way), Facts: s.wish.Facts, Trouble: s.unenforced,
	}
	if !s.wantedAt.IsZero() {
		n.WantedSince = &s.wantedAt
		if s.state == protocol.StateFailed || s.state == protocol.StateRolledBack || s.enforced != s.wanted {
			n.Lag = time.Since(s.wantedAt)
		}
	}
	if rs := s.wish.Ruleset; rs != nil {
		n.HostRules = len(rs.Host.Ingress.Rules) + len(rs.Host.Egress.Rules)
		n.PodRules = len(rs.Pods.Ingress) + len(rs.Pods.Egress)
		n.Sets, n.Pods = len(rs.Sets), len(s.wish.Local.Pods)
		for _, set := range rs.Sets {
			n.Entries += len(set.Prefixes) + len(s.wish.Local.Names[set.Name])
		}
	}
	l.counts.mu.Lock()
	defer l.counts.mu.Unlock()
	n.Applies, n.ApplyTime = l.counts.applies, l.counts.applyTime
	n.Rollbacks, n.Restored = l.counts.rollbacks, l.counts.restorations
	return n
}

// Counters are what rules have matched since the loop began.
func (l *Loop) Counters() ([]view.Counter, error) {
	present, err := l.cfg.Kernel.Counters()
	if err != nil {
		return nil, fmt.Errorf("read the counters of the firewall: %w", err)
	}
	out := []view.Counter{}
	for _, c := range l.counts.sum(present) {
		out = append(out, view.Counter{Rule: c.Rule, Packets: c.Packets, Bytes: c.Bytes, Limited: c.Limited})
	}
	return out, nil
}

// Ruleset is what is in force; nil before anything is. It must not be changed.
func (l *Loop) Ruleset() *model.Ruleset { return l.look().wish.Ruleset }

// Names are the addresses that DNS names of the rules in force have. The map must
// not be changed.
func (l *Loop) Names() map[string][]netip.Addr { return l.look().wish.Local.Names }

// Decide tells what becomes of a packet now, and why.
func (l *Loop) Decide(p model.Packet) model.Decision {
	w := l.look().wish
	if w.Ruleset == nil {
		return model.Decision{Why: "nothing is enforced yet"}
	}
	return plan.Decide(w.Ruleset, w.Facts, w.Local, p)
}

// Differences has a line for each thing in the kernel that is not as it should be.
func (l *Loop) Differences(ctx context.Context) ([]string, error) {
	o, err := l.cfg.Kernel.Observe(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the kernel's rules: %w", err)
	}
	return o.Differences, nil
}

// rulesOf are the words for all rules of a wish.
func rulesOf(w apply.Wish) []string {
	var out []string
	for _, c := range []model.Chain{w.Ruleset.Host.Ingress, w.Ruleset.Host.Egress} {
		for _, r := range c.Rules {
			out = append(out, r.ID)
		}
	}
	for _, rules := range [][]model.PodRule{w.Ruleset.Pods.Ingress, w.Ruleset.Pods.Egress} {
		for _, r := range rules {
			out = append(out, r.ID)
		}
	}
	return out
}
