// Package distfiles hands out what a machine needs to become a node: the
// install script, the program for its processor and the sums. So a fleet
// installs from its server alone.
//
// All of it is public and the same for everybody; it is answered without a
// token, to any address. The script carries the URL that it was asked at and the
// pin of the server's authority, by which it checks whatever it fetches
// afterwards.
//
// A program comes from the folder that is made for it, which a person may fill
// for other processors; for the server's own, where that has none, it is the
// file that the server itself was started from.
//
// Invariants: only files of those names are read; a file is handed out with the
// sum of the bytes that it has now; downloads are bounded in number, in all and
// for each client, and one whose reader is asleep or makes itself slow ends. Start reading at [Files.Handlers].
package distfiles
