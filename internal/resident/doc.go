// Package resident gives memory back that a process mapped only to start.
//
// A large static program touches most of its own code and constants once,
// during initialisation, and the kernel keeps these pages mapped, and counted
// as resident, for ever. [Trim] unmaps them; the few that are used again come
// back from the page cache one fault at a time, and the others can be
// reclaimed first when memory is short.
package resident
