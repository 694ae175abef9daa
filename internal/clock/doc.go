// Package clock tells the time on machines whose clock may be wrong: boards
// without a battery wake up in 1970, and a broken one may wake up in 2099.
//
// A [Clock] never goes back behind what was seen on this machine before (a file
// that is written every hour) nor behind the date of the program. What a
// verified server says corrects it in both directions, and is asked for again while
// the clocks differ. Against the other two a clock that the kernel calls
// synchronised is always believed, so that nothing wrong lasts. The machine's own
// clock is never set: it is not kedge's.
//
// Invariants: no method fails for a wrong clock, an unreadable file or a full
// disk; [Clock.Now] goes on by the monotonic clock. Start at [Open].
package clock
