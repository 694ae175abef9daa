// Package hub is the server's end of the link. It takes the websockets of
// nodes and dials through them by node name.
//
// A link is one control session of a node and, where both ends have them, the
// lanes beside it (link.go). Dials go over the lanes; the control session
// carries them for a node without lanes and while there is none.
//
// Invariants: a node is who its verified client certificate says; a session
// serves dials only after one went through it and came back (the proof); a lane
// belongs to the session whose secret its request was made with, and each
// request serves once; the newest session of a node wins and the streams of the
// one before end with an error; a node can make the hub dial nothing, and hold
// no more than its share of handshakes, lanes, streams and unread bytes.
//
// Start reading at [Hub.Handler] and [Hub.DialNode].
package hub
