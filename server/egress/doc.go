// Package egress makes the API server's own connections into the cluster: to
// pods (proxy, webhooks, aggregated APIs) and to pods in the network of their
// host, whichever site their node is in.
//
// It owns the answer to "whose address is this?" ([Table]): pod addresses
// belong to the node with that pod range, other addresses to the one node that
// says they are its internal ones. Those are dialled through the node's link,
// the server's own node directly. Everything else is not part of the cluster
// and is dialled directly. It must not know how a link works.
//
// Invariants: an address of the cluster's pod range is never dialled from the
// server's own network; an address that two nodes claim is refused, because
// sites may use the same private addresses; the server's own addresses are
// nobody else's; what a node says can never lead to the server's loopback.
//
// Start reading at [Table.Find] and [Egress.Cluster].
package egress
