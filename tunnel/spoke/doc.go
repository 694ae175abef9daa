// Package spoke is the node's end of the link: one component that keeps a
// session with a server and dials what the server asks for, if tunnel/access
// allows it.
//
// With a server that has them it opens lanes beside the control session
// (lanes.go): interactive always, relay where the node takes packets, bulk while
// somebody wants it. Each is replaced alone; the end of the control session is
// the end of all.
//
// Invariants: the spoke listens to nothing; it takes its certificate from disk
// at each attempt, so a renewed one is used without a restart; it is ready
// only when the server has dialled through it; it never gives up, and attempts
// after the first retry are spread by full jitter, later if the server is busy
// and says so.
//
// Start reading at [Spoke.Run].
package spoke
