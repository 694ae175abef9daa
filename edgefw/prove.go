package edgefw

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/kedge-io/kedge/internal/lifecycle"
)

const (
	// attemptLimit bounds one attempt of a proof, attemptPause is between two.
	attemptLimit = 5 * time.Second
	attemptPause = 500 * time.Millisecond
	// proofGap is the least time between the beginnings of two proofs where people
	// changed their rules, calmGap where only sets or pods changed. A thousand
	// nodes are not to come to their server at once, so there is a jitter of a
	// tenth of each.
	proofGap = time.Second
	calmGap  = 10 * time.Second
	// undecidedGap is between two looks for the server while nothing is decided.
	undecidedGap = 5 * time.Second
	// proofSpread is the jitter of the first proof of a change: all nodes have
	// changed in the same moment, and the server has others to tell yet.
	proofSpread = 500 * time.Millisecond
)

// proof is what came of one.
type proof struct {
	tested candidate
	epoch  int
	err    error
}

// proofs runs one proof at a time. It is the loop's own.
type proofs struct {
	running bool
	began   time.Time
	// due is when the next one is to begin; zero for none.
	due   time.Time
	epoch int
	phase phase
	end   context.CancelFunc
	all   sync.WaitGroup
}

// next bounds a wait by what is due.
func (p *proofs) next(wait time.Duration) time.Duration {
	if p.due.IsZero() || p.running {
		return wait
	}
	return max(0, min(wait, time.Until(p.due)))
}

// stop ends what goes on; its result is not for anybody.
func (p *proofs) stop() {
	if p.end != nil {
		p.end()
	}
	p.running, p.due, p.end = false, time.Time{}, nil
	p.epoch++
	p.all.Wait()
}

// prove has what is enforced proven, now or soon.
func (l *Loop) prove(enforced candidate) {
	p := &l.proofs
	if p.phase != l.judge.phase {
		p.stop()
		p.phase = l.judge.phase
	}
	if p.running {
		return
	}
	if p.due.IsZero() {
		p.due = l.dueAfter(enforced)
	}
	if time.Until(p.due) > 0 {
		return
	}
	now := time.Now()
	p.running, p.began, p.due = true, now, time.Time{}
	ctx, cancel := context.WithDeadline(context.Background(), l.judge.begin(now))
	p.end = cancel
	epoch := p.epoch
	p.all.Go(func() {
		defer cancel()
		err := persist(ctx, l.cfg.Prove)
		select {
		case <-l.proved: // of a former epoch, which nobody waited for
		default:
		}
		l.proved <- proof{tested: enforced, epoch: epoch, err: err}
	})
}

// dueAfter is when the next proof begins.
func (l *Loop) dueAfter(enforced candidate) time.Time {
	gap := calmGap
	switch {
	case l.judge.phase == verifying:
		return time.Now()
	case l.judge.phase == undecided:
		gap = undecidedGap
		return time.Now().Add(gap + rand.N(gap))
	case enforced.people != l.judge.proven.people:
		gap = proofGap
	}
	due := l.proofs.began.Add(gap + rand.N(gap/10))
	if soon := time.Now().Add(rand.N(proofSpread)); soon.After(due) {
		return soon
	}
	return due
}

// persist tries until it succeeds or ctx ends, and returns the last error then.
func persist(ctx context.Context, attempt func(context.Context) error) error {
	var last error
	for {
		limited, cancel := context.WithTimeout(ctx, attemptLimit)
		err := attempt(limited)
		cancel()
		if err == nil {
			return nil
		}
		if last == nil || ctx.Err() == nil {
			last = err
		}
		if !lifecycle.Pause(ctx, attemptPause) {
			return last
		}
	}
}

// conclude takes the result of a proof in.
func (l *Loop) conclude(p proof) {
	if p.epoch != l.proofs.epoch {
		return
	}
	l.proofs.running, l.proofs.end = false, nil
	now := time.Now()
	if p.err == nil {
		l.concluded(l.judge.reached(p.tested, now), p)
		return
	}
	reason := fmt.Sprintf("revision %d: the node could not reach its server any more: %v", l.judge.asked, p.err)
	l.concluded(l.judge.unreached(reason, now), p)
}

// concluded tells people of a verdict; the next pass does the rest.
func (l *Loop) concluded(v verdict, p proof) {
	switch v {
	case accepted:
		l.log.Info("the server is within reach with the new rules", "revision", l.judge.proven.revision)
		l.minimal = false
		l.saver.want(l.wantedNow())
	case goBack:
		l.log.Warn("the server is out of reach since the new rules, back to the former ones", "revision", l.judge.suspect.revision, "former", l.judge.proven.revision, "error", p.err)
	case guilty:
		last := l.judge.refused[len(l.judge.refused)-1]
		l.counts.rolledBack()
		l.told.news(RolledBack, last.Reason)
		l.log.Error("rules were rolled back, as they cut the node off", "revision", last.Revision, "enforced", l.judge.proven.revision, "reason", last.Reason)
		l.cfg.Tell(Notice{RolledBack, fmt.Sprintf("rolled back to revision %d: %s", l.judge.proven.revision, last.Reason)})
		l.saver.want(now)
	case unclear:
		l.log.Warn("the server is out of reach with the former rules as well, the new ones are tried again when it is back", "revision", l.judge.suspect.revision, "error", p.err)
		if l.told.news(Undecided, "") {
			l.cfg.Tell(Notice{Undecided, fmt.Sprintf("revision %d is not in force: the server cannot be reached with the former rules either, and it is tried again when it can", l.judge.suspect.revision)})
		}
	case cleared:
		l.log.Info("the server is within reach again, rules that were undecided are tried again", "revision", l.judge.suspect.revision)
	}
}
