package edgefw

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kedge-io/kedge/edgefw/apply"
	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/plan"
	"github.com/kedge-io/kedge/edgefw/protocol"
)

// pass brings the kernel to what it is to have now, and says so.
func (l *Loop) pass(ctx context.Context) error {
	in := l.latest()
	pods, podsRev := l.pods.all()
	l.want(in)
	now := time.Now()
	chosen, objection, err := l.judge.choose(*l.wanted, now)
	if err != nil {
		objection = err.Error()
	}
	wish := apply.Wish{
		Ruleset: guard(chosen.ruleset, pods), Facts: l.cfg.Facts(),
		Local: plan.Local{Pods: addresses(pods), Names: chosen.names, Addresses: l.cfg.Addresses()},
	}
	result, err := l.cfg.Kernel.Apply(ctx, wish)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		l.fail(in, err)
		l.retreat(ctx, chosen, wish, pods)
		return err
	}
	l.counts.applied(result, wish)
	l.pods.reach(podsRev, settledIn(chosen.ruleset.Pods))
	if in != nil && in.err == nil {
		l.hasHeard()
	}
	l.keep(podsRev, chosen)
	if result.Way != apply.Nothing {
		l.cutter.cut(wish)
	}
	if needsProof := l.judge.applied(chosen, time.Now()); needsProof {
		l.prove(chosen)
	} else {
		l.proofs.stop()
	}
	l.account(in, chosen, objection, wish, result)
	l.save(wish.Facts)
	return nil
}

// want makes a candidate of what is wished for, with the names as they are now.
func (l *Loop) want(in *incoming) {
	base := l.judge.proven
	rs, manifest, revision := base.ruleset, base.manifest, base.revision
	if in != nil {
		rs, manifest, revision = in.ruleset, in.manifest, in.revision
	}
	names := l.names.of(rs.Sets, base.ruleset.Sets)
	if w := l.wanted; w != nil && w.ruleset == rs && w.revision == revision && sameNames(w.names, names) {
		return
	}
	if w := l.wanted; w != nil && w.manifest.Host == manifest.Host {
		l.wanted = &candidate{revision: revision, ruleset: rs, manifest: manifest, names: names, people: w.people}
		return
	}
	c, err := newCandidate(revision, rs, &manifest, names)
	if err != nil { // it was decoded from these very bytes
		l.log.Error("a ruleset cannot be hashed", "revision", revision, "error", err)
		c = base
	}
	l.wanted = &c
}

// latest is what a server said last; nil before.
func (l *Loop) latest() *incoming {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.incoming
}

// settledIn tells which pods have all their rules once these are in force.
func settledIn(rules model.PodRules) func(Pod) bool {
	return func(p Pod) bool { return !isGuarded(rules, p.Namespace) || isKnown(rules, p.UID) }
}

// fail notes that the kernel did not take what it was to have.
func (l *Loop) fail(in *incoming, err error) {
	l.cfg.Report(err)
	if l.told.news(Failed, err.Error()) {
		l.log.Error("the kernel does not take the rules, those before stay", "error", err)
		l.cfg.Tell(Notice{Failed, err.Error()})
	}
	l.update(func(s *seen) {
		s.state, s.reason = protocol.StateFailed, err.Error()
		s.noteWanted(in)
	})
	if in != nil {
		l.ack(protocol.Ack{Revision: in.revision, State: protocol.StateFailed, Enforced: l.judge.enforced.revision, Reason: err.Error()})
	}
}

// retreat puts the host's proven rules back after the kernel refused others: it
// may have taken a part of those, one family's for instance, and they would never
// be on trial. Rules of pods cannot cut the node off, so the newer ones stay.
func (l *Loop) retreat(ctx context.Context, refused candidate, wish apply.Wish, pods []Pod) {
	back, err := refused.instead(l.judge.proven, refused.keysOfHost(l.judge.proven.ruleset))
	if err != nil || back.same(refused) {
		return
	}
	wish.Ruleset, wish.Local.Names = guard(back.ruleset, pods), back.names
	result, err := l.cfg.Kernel.Apply(ctx, wish)
	if err != nil {
		l.log.Debug("the kernel does not take the former rules either", "error", err)
		return
	}
	l.counts.applied(result, wish)
	if l.judge.applied(back, time.Now()) {
		l.prove(back)
	} else {
		l.proofs.stop()
	}
}

// account says how far the node is.
func (l *Loop) account(in *incoming, chosen candidate, objection string, wish apply.Wish, result apply.Result) {
	state, reason := protocol.StateApplied, ""
	switch {
	case in != nil && in.err != nil:
		state, reason = protocol.StateFailed, in.err.Error()
	case objection != "":
		state, reason = protocol.StateRolledBack, objection
		if l.judge.phase == undecided {
			reason = "undecided, the server is out of reach with the former rules as well, and these are tried again when it is back: " + objection
		}
	case l.judge.phase == settled:
		state = protocol.StateProven
	}
	silent := l.judge.phase == verifying // the verdict is a moment away
	if !silent {
		l.report(state, reason, result)
	}
	l.update(func(s *seen) {
		s.state, s.reason = state, reason
		s.undecided = l.judge.phase == undecided
		s.minimal = l.minimal && in == nil
		s.enforced, s.proven = chosen.revision, l.judge.proven.revision
		s.wish, s.way = wish, result.Way
		if result.Way != apply.Nothing || s.took == 0 {
			s.took = result.Took
		}
		s.unenforced = result.Unenforced
		s.noteWanted(in)
	})
	if in != nil && !silent {
		ack := protocol.Ack{Revision: in.revision, State: state, Reason: reason, Took: result.Took}
		if reason != "" {
			ack.Enforced = chosen.revision
		}
		l.ack(ack)
	}
}

// report tells people of trouble and of its end.
func (l *Loop) report(state protocol.State, reason string, result apply.Result) {
	var errs []error
	if reason != "" {
		errs = append(errs, fmt.Errorf("the rules of the latest revision are not in force (%s): %s", state, reason))
	}
	if err := l.saver.err; err != nil {
		errs = append(errs, err)
	}
	for _, u := range result.Unenforced {
		errs = append(errs, errors.New(u))
	}
	l.cfg.Report(errors.Join(errs...))
	if reason == "" && state == protocol.StateProven && l.told.over() {
		l.log.Info("the rules of the latest revision are in force again", "revision", l.judge.enforced.revision)
		l.cfg.Tell(Notice{Enforced, fmt.Sprintf("the rules of revision %d are in force", l.judge.enforced.revision)})
	}
}

// told is what people have heard of and is not over.
type told map[NoticeKind]string

// news tells whether a message is new, and remembers it.
func (t *told) news(kind NoticeKind, message string) bool {
	if *t == nil {
		*t = told{}
	}
	if said, ok := (*t)[kind]; ok && said == message {
		return false
	}
	(*t)[kind] = message
	return true
}

// over tells whether there was anything, and forgets it.
func (t *told) over() bool {
	had := len(*t) > 0
	*t = nil
	return had
}
