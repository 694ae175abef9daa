package edgefw

import (
	"maps"
	"slices"
	"time"

	"github.com/kedge-io/kedge/edgefw/store"
)

const (
	// ProofLimit is how long rules may be on trial before the former ones return.
	ProofLimit = 15 * time.Second
	// attemptsLimit is how long a proof that began late tries at least: the former
	// rules are back 18 s after what was wrong was applied, at the latest.
	attemptsLimit = 8 * time.Second
	// verifyLimit bounds the proof after a return to the former rules.
	verifyLimit = 15 * time.Second
	// holdFirst is for how long rules are not tried again that were undecided a
	// second time; it doubles up to holdMax. The first time they are tried as
	// soon as the link is back: usually it was the link.
	holdFirst = time.Minute
	holdMax   = 30 * time.Minute
	// maxRefused bounds what is remembered as refused.
	maxRefused = 16
)

// phase is where the judge is.
type phase uint8

const (
	// settled: what is enforced is proven.
	settled phase = iota
	// trial: what is enforced is not proven yet.
	trial
	// verifying: the trial failed, the former rules are back, and it is to be seen
	// whether the node reaches its server now.
	verifying
	// undecided: it does not; it is tried again and again until it does.
	undecided
)

// suspect is what is not tried for the moment.
type suspect struct {
	keys     []string
	revision uint64
	reason   string
	// times is how often it was undecided; it is not tried before until.
	times int
	until time.Time
}

// judge decides which rules are enforced. It has no goroutine, clock or kernel;
// it is for one goroutine.
type judge struct {
	proven, enforced candidate
	phase            phase
	// since is when the phase began; a trial's is the earliest that no proof has
	// been seen since.
	since   time.Time
	suspect *suspect
	refused []store.Refusal
	// asked is the revision that was wished for last.
	asked uint64
}

// newJudge begins with something that is proven.
func newJudge(proven candidate, refused []store.Refusal) *judge {
	return &judge{proven: proven, enforced: proven, refused: slices.Clone(refused)}
}

// choose returns what to enforce where wanted is wished for, and why it is not
// that, which is empty where it is.
func (j *judge) choose(wanted candidate, now time.Time) (candidate, string, error) {
	j.asked = wanted.revision
	if j.phase == verifying || j.phase == undecided {
		return j.proven, j.suspect.reason, nil
	}
	objected := map[string]string{}
	if len(j.refused) == 0 && j.suspect == nil {
		return wanted, "", nil
	}
	note := func(keys []string, reason string) {
		for _, key := range keys {
			objected[key] = reason
		}
	}
	for _, r := range j.refused {
		note(r.Keys, r.Reason)
	}
	if s := j.suspect; s != nil && now.Before(s.until) {
		note(s.keys, s.reason)
	}
	reason := ""
	for key := range wanted.keys() {
		if why, ok := objected[key]; ok {
			reason = why
		}
	}
	if reason == "" {
		return wanted, "", nil
	}
	c, err := wanted.instead(j.proven, func(key string) bool { return objected[key] != "" })
	if err != nil {
		return j.proven, reason, err
	}
	return c, reason, nil
}

// applied notes that the kernel has c now. It returns true where that needs a
// proof.
func (j *judge) applied(c candidate, now time.Time) (needsProof bool) {
	j.enforced = c
	if j.phase == verifying || j.phase == undecided {
		return true
	}
	if c.same(j.proven) {
		j.proven, j.phase = c, settled // its revision may be newer
		return false
	}
	if j.phase == settled {
		j.phase, j.since = trial, now
	}
	return true
}

// begin says that a proof begins, which may be later than what it is about, and
// returns when it is given up.
func (j *judge) begin(now time.Time) (until time.Time) {
	if j.phase != trial {
		return now.Add(verifyLimit)
	}
	until = j.since.Add(ProofLimit)
	if least := now.Add(attemptsLimit); least.After(until) {
		return least
	}
	return until
}

// verdict is what a proof has changed.
type verdict uint8

const (
	nothingNew verdict = iota
	// accepted: what is enforced is proven.
	accepted
	// goBack: what was proven last is to be enforced again.
	goBack
	// guilty: what was rolled back was the reason.
	guilty
	// unclear: the node does not reach its server with the former rules either.
	unclear
	// cleared: the link is back, and what was undecided may be tried again.
	cleared
)

// reached is told of a proof that succeeded while tested was enforced.
func (j *judge) reached(tested candidate, now time.Time) verdict {
	switch j.phase {
	case trial:
		if !tested.same(j.enforced) {
			j.since = now // the link is there, and what came meanwhile has its own time
			return nothingNew
		}
		if tested.people != j.proven.people {
			// People have changed their mind: what was refused may be wanted again.
			j.refused, j.suspect = nil, nil
		}
		j.proven, j.phase = j.enforced, settled
		return accepted
	case verifying:
		s := j.suspect
		j.refused = append(j.refused, store.Refusal{Keys: s.keys, Revision: s.revision, Reason: s.reason, At: now})
		j.refused = j.refused[max(0, len(j.refused)-maxRefused):]
		j.phase, j.suspect = settled, nil
		return guilty
	case undecided:
		j.phase = settled
		if s := j.suspect; s.times > 1 {
			s.until = now.Add(min(holdFirst<<(s.times-2), holdMax))
		}
		return cleared
	}
	return nothingNew
}

// unreached is told that no proof succeeded until the deadline, and why.
func (j *judge) unreached(reason string, now time.Time) verdict {
	switch j.phase {
	case trial:
		s := &suspect{keys: j.news(), revision: j.asked, reason: reason}
		if j.suspect != nil && slices.Equal(j.suspect.keys, s.keys) {
			s.times = j.suspect.times
		}
		j.suspect, j.phase, j.since = s, verifying, now
		return goBack
	case verifying:
		j.phase, j.since = undecided, now
		j.suspect.times++
		return unclear
	case undecided:
		j.since = now
	}
	return nothingNew
}

// news are the keys of what is enforced and was not proven: the rules for the
// host alone where those are new, as they are what can be wrong.
func (j *judge) news() []string {
	if j.enforced.people != j.proven.people {
		return []string{keyHost + j.enforced.people.String()}
	}
	keys := j.enforced.keys()
	for key := range j.proven.keys() {
		delete(keys, key)
	}
	return slices.Sorted(maps.Keys(keys))
}
