// Package tunnel holds the words of the link between a node and its servers:
// what a node is called, what may be asked for through the link, the states of
// the link and the errors that both ends share.
//
// It owns no connection and no goroutine. The parts of the link are
//
//   - tunnel/access: what a node lets its server dial (pure),
//   - tunnel/transport: the control lane (sessions and streams over one
//     websocket) and the websockets of the other lanes,
//   - tunnel/mux: one session of streams and packets over several lanes,
//   - tunnel/sock: the kernel's options on each connection,
//   - tunnel/pipe: a way to the server's port, through proxies of both kinds,
//   - tunnel/hub: the server's end, which dials through a node,
//   - tunnel/spoke: the node's end, which makes the connections,
//   - tunnel/relay: the switch of the packets between pods of different nodes,
//   - tunnel/view, tunnel/metrics, tunnel/speed: what is seen of a link.
//
// Invariants that every part keeps: the node makes all connections; a node
// is who its client certificate says, never what a header says; what is not
// allowed is refused, and a refusal ends one stream only.
package tunnel
