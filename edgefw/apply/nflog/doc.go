// Package nflog reads the packets that rules send to a group of NFLOG, so far as
// to tell people what it was: the rule's prefix, devices, addresses and ports.
//
// Which rules log, and how often, is not its business. Start reading at [Open].
package nflog
