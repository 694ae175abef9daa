// Package protocol has the words that a server and a node speak about the edge
// firewall, on one long-lived stream that the server opens.
//
// The node begins with a [Hello]: the revision that it holds and the hashes of
// its parts. The server answers with an [Update] for each change: the parts
// that the node lacks, sets as the difference to what it has where that is
// shorter, and the hash of the whole. The node puts it together with
// [Holdings.Take] and says with an [Ack] what became of it. Where the whole is
// not what the hash says, the node says Hello again and gets what it lacks.
//
// Everything is bounded before it is allocated: a frame by [MaxFrame], a message
// by its kind, an update by [MaxUpdate]. A hash is the sha256 of the canonical
// bytes of a part, which [EncodeHost], [EncodePods] and [EncodeSet] give; equal
// parts have equal bytes.
//
// What a node does not know it refuses: a rule with a word that was added later
// would say more than the node enforces. The headers of messages, in turn, may
// get new words at any time.
//
// The package is pure: it reads and writes through io and waits for nothing
// else. Start reading at [Update] and [Holdings].
package protocol
