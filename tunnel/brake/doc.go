// Package brake keeps the queue short that the busy lanes of one session make
// in front of a thin line, so that prompt lanes do not wait in it.
//
// Each lane has a congestion control of its own, and none of them keeps a queue
// away that several make together: three saturated lanes with bbr hold about
// 100 ms of a line of 10 Mbit/s. The end that sends knows all of them. While a
// bulk or relay lane has something to send, it reads every 250 ms what the
// kernel measured (TCP_INFO), and if the round trip stands well above its
// minimum it lets those lanes together send a little less than the line carries
// (SO_MAX_PACING_RATE), until the queue is gone, and then gradually more.
//
// Invariants:
//
//   - Lanes without much to send, fast lines and connections within a machine
//     have no cap, and without anything to send nothing runs.
//   - A queue that stands although lanes are braked is somebody else's: the
//     brake lets go of it, for half a minute.
//   - A failure to read or to set leaves a lane as fast as it would be without.
//
// Start reading at control.go.
package brake
