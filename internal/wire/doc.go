// Package wire holds the words that servers and agents exchange: the join
// token, the URL paths of the supervisor, the requests and answers of joining
// and renewing, and the codes of refusals.
//
// It is data only: no I/O, clock, randomness, goroutine or logger. Both
// `server` and `agent` import it; it imports neither. Everything that arrives
// from outside is parsed here by functions that never panic and that bound
// what they accept (see the fuzz tests).
//
// Start reading at [Token] and [JoinRequest].
package wire
