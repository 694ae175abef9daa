// Package transport carries streams over one websocket, which is the control
// lane of a link, and makes the websockets of its other lanes. It is the only
// user of remotedialer and of its websocket library; no other package sees their
// types.
//
// A lane (lane.go) is a byte stream: one endless websocket message in each
// direction. A node opens it with a proof that serves once, made with the secret
// of its session (grant.go).
//
// What the bytes of the control lane are, from the outside in: TCP, TLS,
// websocket messages, remotedialer's streams, and inside each of those the
// frames of this package (see frame.go). The frames add what remotedialer lacks:
//
//   - an answer to each dial, so that a refusal has a reason and ends one
//     stream only (remotedialer ends the whole session);
//   - credit: an end sends no more than [Window] unread bytes per stream, so
//     remotedialer never pauses a stream. Its pauses are written by the reader
//     under the lock that writers hold, and stop every stream for good once
//     both directions are full;
//   - half close, deadlines, and a close that both ends agree on.
//
// A session also measures itself: each end pings, pongs never wait for the
// reader, and an end that hears nothing at all for [Config.Silence], longer on a
// slow link, ends the session. remotedialer's own pings and its exchange of stream lists (which
// kills streams that are just being opened) are off.
//
// Invariants: the goroutine that reads the websocket never waits for a reader
// of a stream; a session that ended ends all of its streams with its reason;
// the end that dials (the hub) is the one that gives back remotedialer's stream.
//
// Start reading at session.go, then stream.go.
package transport
