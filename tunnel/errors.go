package tunnel

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrSessionClosed is wrapped by the errors of streams and dials that ended
// because their session did.
var ErrSessionClosed = errors.New("tunnel session closed")

// NotConnectedError says that a node has no link to this server now.
type NotConnectedError struct {
	// Node is the node that was asked for.
	Node NodeName
	// LastSeen is when its last link ended; zero if it was never connected
	// since this server started.
	LastSeen time.Time
}

// Error names the node and what to look at.
func (e *NotConnectedError) Error() string {
	seen := "not seen since this server started"
	if !e.LastSeen.IsZero() {
		seen = "last seen " + e.LastSeen.UTC().Format(time.RFC3339)
	}
	return fmt.Sprintf("node %q has no tunnel to this server (%s): "+
		"check that its kedge agent runs and reaches this server's port, with `kedge status` on the node", e.Node, seen)
}

// Refusal says why the other end did not do what it was asked.
type Refusal string

// The kinds of refusal. They are the labels of metrics and stable on the wire.
const (
	// RefusedIdentity: no certificate, or one that is not a node's.
	RefusedIdentity Refusal = "identity"
	// RefusedVersion: no protocol version in common.
	RefusedVersion Refusal = "version"
	// RefusedAccess: the node does not allow this target.
	RefusedAccess Refusal = "access"
	// RefusedDial: the target was allowed but could not be reached.
	RefusedDial Refusal = "dial"
	// RefusedOverload: a limit (streams, sessions) is reached.
	RefusedOverload Refusal = "overload"
	// RefusedProtocol: the request was not understood.
	RefusedProtocol Refusal = "protocol"
)

// The kinds of dials that failed before the node answered. They are labels of
// metrics beside those above and never on the wire.
const (
	// FailedNotConnected: the node has no link, or lost it during the dial.
	FailedNotConnected Refusal = "not-connected"
	// FailedTimeout: no answer in time, or the caller gave up.
	FailedTimeout Refusal = "timeout"
	// FailedOther is everything else.
	FailedOther Refusal = "other"
)

// KindOf gives the label of a failed dial, "" for none.
func KindOf(err error) Refusal {
	var refused *RefusedError
	var missing *NotConnectedError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &refused):
		return refused.Kind
	case errors.As(err, &missing), errors.Is(err, ErrSessionClosed):
		return FailedNotConnected
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return FailedTimeout
	}
	return FailedOther
}

// RefusedError is the answer "no" of the other end, with its reason.
type RefusedError struct {
	// What was asked for: a target, or the connection of a node.
	What string
	// Kind is the class of the reason.
	Kind Refusal
	// Reason is the other end's own text.
	Reason string
	// RetryAfter is when the other end wants to be asked again; 0 where it did
	// not say.
	RetryAfter time.Duration
}

// Error joins what was asked for and why it was refused.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("%s refused (%s): %s", e.What, e.Kind, e.Reason)
}
