package mux

import (
	"fmt"

	"github.com/kedge-io/kedge/tunnel"
)

// table has the streams of a session. It is guarded by the session's lock.
//
// Ids are never used twice: those of the initiator's streams are odd, the
// other end's even, and both count up.
type table struct {
	streams map[uint32]*stream
	// open counts the streams that are in the map or that their user has not
	// closed yet.
	open, max int
	next      uint32 // the id of the next stream of this end
	latest    uint32 // that of the other end's latest stream
	// aborted are ids whose frames may still be under way on other lanes.
	aborted ring
}

// maxID leaves room for the last step.
const maxID = 1<<32 - 3

func newTable(initiator bool, limit int) table {
	t := table{streams: map[uint32]*stream{}, max: limit, next: 2}
	if initiator {
		t.next = 1
	}
	return t
}

func (t *table) all() []*stream {
	list := make([]*stream, 0, len(t.streams))
	for _, st := range t.streams {
		list = append(list, st)
	}
	return list
}

// admit tells whether there is room for one more stream.
func (t *table) admit(what tunnel.Target) error {
	reason := ""
	switch {
	case t.open >= t.max:
		reason = fmt.Sprintf("%d streams are open, which is the limit", t.max)
	case t.next >= maxID:
		reason = "the session has had all the streams that it can number"
	default:
		return nil
	}
	return &tunnel.RefusedError{What: "dial " + what.String(), Kind: tunnel.RefusedOverload, Reason: reason}
}

// add takes a new stream of this end.
func (t *table) add(st *stream) {
	st.id = t.next
	t.next += 2
	t.streams[st.id] = st
	t.open++
}

// number checks and takes the id of a new stream of the other end.
func (t *table) number(id uint32) error {
	if id%2 == t.next%2 || id <= t.latest {
		return fmt.Errorf("%w: open of stream %d after %d", ErrProtocol, id, t.latest)
	}
	t.latest = id
	return nil
}

// was tells whether there has been a stream of this id.
func (t *table) was(id uint32) bool {
	if id%2 == t.next%2 {
		return id < t.next
	}
	return id <= t.latest
}

// ring remembers the latest numbers.
type ring struct {
	list []uint32
	at   int
}

const ringSize = 1024

func (r *ring) add(n uint32) {
	if len(r.list) < ringSize {
		r.list = append(r.list, n)
		return
	}
	r.list[r.at] = n
	r.at = (r.at + 1) % ringSize
}

func (r *ring) has(n uint32) bool {
	for _, have := range r.list {
		if have == n {
			return true
		}
	}
	return false
}
