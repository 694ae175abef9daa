// Package preflight finds out, before a node or a server is started here, what
// would go wrong: kedge check.
//
// It tries what kedge does rather than reading what the kernel was built with, and
// leaves nothing behind: links, rules, sets and queues are made in network and
// mount namespaces of a thread that ends afterwards, never in the host's own. Trying
// may make the kernel load a module, as the start of a node would. Of the data
// directory only the file system is used, for a file without a name and an overlay
// mount that goes again. The server is asked for /cacerts and is told nothing about
// this machine.
//
// Invariants: every probe has a time limit of its own and one that hangs is a
// finding, not a hang; a probe that cannot look says so and guesses nothing; ids and
// their words are those of internal/finding.
//
// Start reading at [Check]; judge*.go are pure, the others look.
package preflight
