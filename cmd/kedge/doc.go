// Command kedge is the whole distribution in one program: server, agent, their
// tools and the embedded kubectl, crictl and ctr.
//
// The package wires and does no work of its own. Signals, exit codes and what
// is printed on standard error are decided here only: main.go holds them, root.go
// the list of commands, options.go how a command gets its options, and every
// other file one command. A command returns an error and main prints it; a
// command that needs a certain exit code wraps the error with exitWith.
package main
