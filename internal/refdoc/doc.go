// Package refdoc writes the reference in docs/reference from a command tree: a
// page for each command, an index, and one table of all options with their
// keys and environment variables.
//
// It is pure: the same tree gives the same bytes, and nothing of the host may
// enter them. Hidden commands are left out. A command whose flags are parsed by
// an embedded program has a page that sends the reader to that program's help.
// Start reading at Pages.
package refdoc
