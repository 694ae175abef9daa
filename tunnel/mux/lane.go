package mux

import "github.com/kedge-io/kedge/tunnel"

// Lane is one connection of a session.
type Lane struct {
	class tunnel.Lane
	index int
}

// Class tells what the lane is for.
func (l *Lane) Class() tunnel.Lane { return l.class }

// Index tells lanes of one class apart.
func (l *Lane) Index() int { return l.index }

// Close ends the lane at once, and the streams on it with the reason.
func (l *Lane) Close(reason error) {}

// Retire moves the streams of both ends off the lane and then ends it, for
// which another lane must be there. Streams do not notice.
func (l *Lane) Retire() {}
