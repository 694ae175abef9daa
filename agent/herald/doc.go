// Package herald tells the API how a part of the node does: one condition on the
// Node, and events. Nobody waits for it, and a server that is away is normal: the
// condition is offered until it is taken, and only a change costs a write.
//
// Start reading at [New].
package herald
