// Command launcher is the front of kedge's release files. The file that a
// person installs is this small program followed by the compressed real one
// (internal/payload). The launcher unpacks that once per version into
// <data-dir>/data/<id>/bin/kedge and then becomes it: same process, same
// arguments, so links named kubectl or crictl and service managers notice
// nothing. The program learns from KEDGE_LAUNCHER which file was installed.
//
// An ordinary user who may not write there uses what root has unpacked, or a
// copy below the user's cache folder.
//
// Invariants: nothing is executed that was not held against the digest in the
// file; an interrupted start leaves nothing that a later one would use; two
// first starts at once unpack once. Start reading at launch.
package main
