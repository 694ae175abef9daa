// Package hub is the server's end of the link. It takes the websockets of
// nodes and dials through them by node name.
//
// Invariants: a node is who its verified client certificate says; a session
// serves dials only after one went through it and came back (the proof); the
// newest session of a node wins and the streams of the one before end with an
// error; a node can make the hub dial nothing.
//
// Start reading at [Hub.Handler] and [Hub.DialNode].
package hub
