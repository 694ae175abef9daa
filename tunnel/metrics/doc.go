// Package metrics exports the links of a daemon as Prometheus metrics, on a
// server for each node, on a node for its server.
//
//	kedge_link_up                  1 while dials can go through
//	kedge_link_reconnects_total    links after the first
//	kedge_link_streams             streams that are open
//	kedge_link_rtt_seconds         histogram of round trips by lane, all peers
//	kedge_link_bytes_total         bytes by peer, lane and direction
//	kedge_link_packets_total       relayed packets by peer and direction
//	kedge_link_packets_dropped_total   which became too old in the queue of the link
//	kedge_link_packets_lost_total      for a peer that was away or whose queue was full
//	kedge_link_packets_refused_total   from a peer, by reason
//	kedge_link_dial_errors_total   failed dials by peer and reason
//
// It reads the same report as kedge link status, at each scrape. Only the
// histogram needs a clock: see [Collector.Run]. The package does not listen;
// the API server of a server and the kubelet of a node serve the registry.
package metrics
