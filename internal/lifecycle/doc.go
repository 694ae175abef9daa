// Package lifecycle runs the components of a daemon as one group.
//
// A [Component] has a name, the names it needs, an optional Prepare and a Run
// that blocks. The [Group] checks the whole graph before anything runs, starts
// each component as soon as what it needs is ready, and ends dependants before
// what they depend on. There is no stop method: stop is the end of the context.
//
// Invariants: Run of a component is called at most once and only after every
// need of it called ready; a component's context ends only after all its
// dependants returned; a component that returns before its context ended is a
// failure and ends the group. Start reading at [NewGroup].
package lifecycle
