package probe

import "time"

const (
	// interval between messages to a peer that is heard; +-20 % of jitter keep
	// a site from sending in step. A hundred peers cost 80 packets of 80 bytes
	// a second in each direction.
	interval = 1250 * time.Millisecond
	// maxInterval is what the interval grows to for a peer that is not heard,
	// which is the rule where another site has the same subnet.
	maxInterval = 30 * time.Second
	// patience is how many messages go unheard before the interval grows.
	patience = 8
	// dead is the age of the latest proof at which a path is given up: three
	// messages in turn were lost.
	dead = 4500 * time.Millisecond
	// answerAfter bounds the answers to one peer, in both directions of an
	// exchange that has not come to a proof.
	answerAfter = 200 * time.Millisecond
	// proofsFirst and proofsAgain are how many proofs a path needs, the latter
	// after it was given up, so that routes do not follow every hiccup.
	proofsFirst = 2
	proofsAgain = 6
	// openChallenges are remembered; older ones prove nothing.
	openChallenges = 4
)

// session is what this node knows of the path to one peer. It does no I/O and
// reads no clock. Not for concurrent use.
type session struct {
	to, from []byte
	run      uint64
	random   func() uint64
	// full is the length of a message that proves the path for every packet.
	full int

	seq        uint64
	challenges [openChallenges]challenge
	latest     int // index of the latest challenge

	peerRun, peerSeq uint64
	heard            uint64 // the peer's latest nonce, 0 for none

	up        bool
	proofs    int
	needed    int
	lastProof time.Time // when what was proven to be heard had been sent
	lastAlive time.Time // when the peer's kernel last said that nobody listens

	unheard    int // messages since the peer was last heard
	unproven   int // messages since the path was last proven
	next       time.Time
	lastAnswer time.Time
}

type challenge struct {
	nonce uint64
	at    time.Time
	full  bool
}

func newSession(to, from []byte, run uint64, full int, random func() uint64) *session {
	return &session{to: to, from: from, run: run, full: full, random: random, needed: proofsFirst}
}

// adopt takes the path for proven, as it was before this process started.
func (s *session) adopt(now time.Time) { s.up, s.lastProof = true, now }

// due returns the next message if it is time, and plans the one after it.
func (s *session) due(now time.Time) []byte {
	if now.Before(s.next) {
		return nil
	}
	wait := interval
	if over := s.unheard - patience; over > 0 && !s.up {
		wait = min(interval<<min(over, 10), maxInterval)
	}
	s.next = now.Add(wait*4/5 + time.Duration(s.random()%uint64(wait*2/5)))
	s.unheard++
	s.unproven++
	return s.message(now, s.heard, s.wanted())
}

// wanted is the length of the next message: short ones are enough to know that
// a proven path still lives.
func (s *session) wanted() int {
	if s.up {
		return HeaderLength
	}
	return s.full
}

func (s *session) message(now time.Time, echo uint64, length int) []byte {
	s.seq++
	s.latest = (s.latest + 1) % openChallenges
	s.challenges[s.latest] = challenge{nonce: s.random() | 1, at: now, full: length >= s.full}
	return encode(message{run: s.run, seq: s.seq, nonce: s.challenges[s.latest].nonce, echo: echo, length: length}, s.to)
}

// receive looks at a message that came from the peer's address over a link of
// the path, and returns the answer that is to be sent at once, nil for none.
func (s *session) receive(now time.Time, b []byte) []byte {
	m, err := decode(b, s.from)
	if err != nil || m.run == s.peerRun && m.seq <= s.peerSeq {
		return nil
	}
	proof := s.answered(now, m.echo)
	if m.run != s.peerRun && proof == nil {
		// The peer has started anew, or somebody plays back what a former start
		// of it said. The answer tells: only the peer can echo what is in it.
		return s.answer(now, m)
	}
	s.peerRun, s.peerSeq, s.heard, s.unheard = m.run, m.seq, m.nonce, 0
	s.next = minTime(s.next, now.Add(interval))
	if proof != nil {
		s.prove(*proof)
		*proof = challenge{} // proves once
	}
	if s.up && m.length == HeaderLength {
		return nil
	}
	return s.answer(now, m)
}

func (s *session) answered(now time.Time, echo uint64) *challenge {
	for i := range s.challenges {
		c := &s.challenges[i]
		if c.nonce != 0 && c.nonce == echo && now.Sub(c.at) < dead {
			return c
		}
	}
	return nil
}

func (s *session) prove(c challenge) {
	if !s.up && !c.full {
		return
	}
	s.unproven = 0
	if c.at.After(s.lastProof) {
		s.lastProof = c.at
	}
	if s.proofs++; s.proofs >= s.needed {
		s.up = true
	}
}

// answer is never longer than the request.
func (s *session) answer(now time.Time, request message) []byte {
	if now.Sub(s.lastAnswer) < answerAfter {
		return nil
	}
	s.lastAnswer = now
	return s.message(now, request.nonce, min(request.length, s.wanted()))
}

// refused notes that the peer's kernel, though not its agent, answers on a path
// that was proven.
func (s *session) refused(now time.Time) {
	if s.up {
		s.lastAlive = now
	}
}

// expire gives the path up when it was not proven for too long. It returns when
// it has to be called again.
func (s *session) expire(now time.Time) time.Time {
	if !s.up {
		return s.next
	}
	end := maxTime(s.lastProof, s.lastAlive).Add(dead)
	if now.Before(end) {
		return minTime(end, s.next)
	}
	s.up, s.proofs, s.needed, s.unheard = false, 0, proofsAgain, 0
	return s.next
}

func minTime(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
