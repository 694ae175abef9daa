// Package probe finds out which nodes of the cluster are on the same link as
// this one and answer there.
//
// Two sites may have the same private subnet, so that a node's address says
// nothing about whether it is near. A peer is near when it proves, by a key
// that it published on its Node, that it has just received what this node sent
// over the link, and the answer came in over such a link. Probes carry cluster
// addresses, as the pods' packets will, and go to the peer as next hop by a
// routing table of their own: a network that lets only the addresses of its own
// machines pass is noticed. Their time to live is 1, and as long as a path is
// not proven they are as long as the longest packet of a pod, so a path that
// is proven carries those too.
//
// Both ends send at a jittered interval, and each message echoes the latest
// challenge of the other end: one message in each direction proves both
// directions to both. Messages are authenticated by a key of the pair
// (X25519, HMAC-SHA256), anything else is dropped in silence; an answer is
// never longer than its request and goes to the peer's own address only.
//
// A path whose probes stop is given up in less than 5 s, unless the peer's
// kernel says that nobody listens: then its agent is away (restart, upgrade),
// which must not cost its pods the path.
//
// The package sends and receives and changes nothing of the host; routes are
// its caller's. Start reading in session.go.
package probe
