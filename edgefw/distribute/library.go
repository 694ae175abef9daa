package distribute

import (
	"errors"
	"fmt"
	"sync"

	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/protocol"
)

// maxFormer bounds the prefixes of former contents of sets that are kept for
// deltas, 32 bytes each.
const maxFormer = 500_000

// version names one content of one set.
type version struct {
	id   model.SetID
	hash protocol.Hash
}

// content is one content of one set.
type content struct {
	set model.Set
	// refs counts the targets that have it, former its places in library.former.
	refs, former int
}

// library has the targets of now, the contents of their sets, those of shortly
// ago, and the bytes that were made of them.
type library struct {
	// These are for the goroutine that compiles.
	hosts  hosts
	hashes map[place]protocol.Hash // of contents
	now    map[*model.Ruleset]*target
	former []version // contents that lost their last target, oldest first
	bulk   int       // prefixes of former

	mu       sync.Mutex
	contents map[version]*content

	parts  cache[partKey, []byte]
	bodies cache[bodyKey, *body]
}

func newLibrary() *library {
	return &library{
		now: map[*model.Ruleset]*target{}, contents: map[version]*content{}, hashes: map[place]protocol.Hash{},
	}
}

// targets returns the targets of rulesets, those of before where they did not
// change. One that cannot be sent has none, and is named by the error.
func (l *library) targets(rulesets map[string]*model.Ruleset) (map[*model.Ruleset]*target, error) {
	next := make(map[*model.Ruleset]*target, len(l.now))
	var problems []error
	l.hosts.turn()
	for name, rs := range rulesets {
		if _, ok := next[rs]; ok || rs == nil {
			continue
		}
		t := l.now[rs]
		if t != nil {
			_, _ = l.hosts.hash(rs.Host) // so that it stays known
			next[rs] = t
			continue
		}
		var err error
		if next[rs], err = l.makeTarget(rs); err != nil {
			problems = append(problems, fmt.Errorf("ruleset of node %s: %w", name, err))
		}
	}
	l.turn(next)
	return next, errors.Join(problems...)
}

// turn makes next the targets of now.
func (l *library) turn(next map[*model.Ruleset]*target) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for rs, t := range next {
		if t != nil && l.now[rs] == nil {
			l.keepLocked(t)
		}
	}
	for rs, t := range l.now {
		if t != nil && next[rs] == nil {
			l.releaseLocked(t)
		}
	}
	l.now = next
	for l.bulk > maxFormer {
		l.dropLocked()
	}
	l.parts.turn()
	l.bodies.turn()
}

func (l *library) keepLocked(t *target) {
	for id, hash := range t.manifest.Sets {
		v := version{id, hash}
		c := l.contents[v]
		if c == nil {
			c = &content{set: t.ruleset.Sets[id]}
			l.contents[v] = c
			if at := placeOf(c.set); at != (place{}) {
				l.hashes[at] = hash
			}
		}
		c.refs++
	}
}

func (l *library) releaseLocked(t *target) {
	for id, hash := range t.manifest.Sets {
		v := version{id, hash}
		c := l.contents[v]
		if c.refs--; c.refs == 0 {
			c.former++
			l.former = append(l.former, v)
			l.bulk += len(c.set.Prefixes) + 1
		}
	}
}

// dropLocked forgets the oldest former content, unless a target has it again.
func (l *library) dropLocked() {
	v := l.former[0]
	l.former = l.former[1:]
	c := l.contents[v]
	l.bulk -= len(c.set.Prefixes) + 1
	if c.former--; c.refs+c.former == 0 {
		delete(l.contents, v)
		delete(l.hashes, placeOf(c.set))
	}
}

// content returns a content of a set, if it is still known.
func (l *library) content(v version) (model.Set, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.contents[v]
	if c == nil {
		return model.Set{}, false
	}
	return c.set, true
}
