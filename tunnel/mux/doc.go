// Package mux carries streams and packets over several lanes: byte-stream
// connections between the same two ends, a node and a server. It knows neither
// websockets nor certificates nor the hub; whoever attaches a lane has proven
// who is at its other end.
//
// # Lanes
//
// A lane has a class. A stream begins on the interactive lane. A direction that
// has sent 256 KiB without a pause moves to the bulk lane that fewest streams
// send on, and after five quiet seconds back. Packets go by the relay lane
// only. Everything but packets works with an interactive lane alone. Lanes come
// and go while the session lives: one that ends takes the streams that are on it
// along, with an error at both ends; a newer one of the same class and index
// replaces the older; one that is retired first loses its streams to others.
//
// # Frames
//
// A lane is a sequence of frames: kind (1 byte), length of the payload (3), id
// (4), payload; numbers are big endian. The id is that of a stream (odd ones
// are the initiator's) or 0. Urgent frames overtake what is not urgent.
//
//	kind     byte  payload                           urgent  meaning
//	hello    01    version 1, class 1, index 1       yes     first frame of the initiator; the id numbers the lane
//	ping     02    stamp 8, echo 8, held µs 4        yes     from the initiator, every 2 s
//	pong     03    echo 8, stamp 8                   yes     only the latest is answered
//	retire   04    -                                 no      the sender sends nothing new on the lane
//	close    05    text                              no      last frame; why
//	open     10    window 4, network/address         yes     dial this
//	opened   11    window 4                          yes     done
//	refused  12    code 1, text                      yes     not done, and why; ends the stream
//	data     13    1 to 65504 bytes                  no      at most 16352 on an interactive lane
//	credit   14    limit 8                           yes     how much may be sent since the beginning; any lane
//	fin      15    -                                 no      no more data follows
//	end      16    code 1, text                      no      last frame of an end, answered by the other's
//	abort    17    code 1, text                      no      the stream is over at once; any lane, not answered
//	move     18    lane 4                            no      last frame of this direction here, it goes on there
//	packet   20    up to 65568 bytes                 -       relay lanes only
//	         40-7f anything                          -       of later versions; skipped
//
// Everything else, and every frame where it makes no sense, ends the lane with
// [ErrProtocol].
//
// Data, fin, end and move of one direction are in order. After a move the
// receiver holds back what comes by the new lane until it has seen the move on
// the old one. Credit is the sum since the beginning, so it may come by another
// lane, overtake, and be sent again when a lane is lost.
//
// # Invariants
//
//   - The reader of a lane never waits for anything but its connection: not for
//     a user, not for a writer. So unread streams stop nobody.
//   - Who has something to send writes it himself, one frame of data per turn,
//     in order of asking. An urgent or small frame waits for one frame of data
//     at most: 16 KiB on the interactive lane, 64 KiB on others.
//   - What the other end may have us hold is promised to it beforehand, per
//     stream and for all streams, and the sum of promises never exceeds
//     Config.MaxBuffered. Memory is at most about twice the unread bytes.
//   - A stream is in the table until both ends have sent their last frame, and
//     counts against Config.MaxStreams until its user has closed it too.
//   - No goroutine waits per stream or for work: an idle lane has its reader
//     and a timer. The end that dials a target has two goroutines per stream.
//   - Packets are dropped, never waited for: 2 MiB or 100 ms.
//
// # Limits
//
//	streams                 Config.MaxStreams, 1024
//	unread, per stream      Config.Window, 256 KiB; on a fast and long bulk lane up to 16 windows
//	unread, all streams     Config.MaxBuffered, 64 MiB
//	answers not taken       1 MiB per lane, then it ends
//	frames held for a move  64 per stream, and the stream's credit
//	packets                 2 MiB per lane, 100 ms
//	silence                 5 s; 4 x RTT + 3 s on a slow link; 20 s at most and before the first RTT
//
// Start reading at session.go, then stream.go, receive.go, send.go and
// outbox.go.
package mux
