// Package rtnetlink hears from the kernel that links, addresses, routes or
// queueing disciplines changed. What of it matters is up to who listens, and so
// is what to do about it; nothing is changed here.
//
// Start reading at [Watch].
package rtnetlink
