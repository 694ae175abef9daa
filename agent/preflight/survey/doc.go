// Package survey writes down what the kernel of this host has at the moment, for
// somebody elsewhere: links, addresses, routes, rules, queues, neighbours, sets,
// tables of the packet filters, mounts, limits. It only reads.
//
// Each part says what could not be had; none needs a program of the host but those
// of the packet filters. Start reading at [Parts].
package survey
