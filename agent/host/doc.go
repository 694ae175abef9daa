// Package host finds out what the machine under a node offers.
//
// [Detect] looks and changes nothing that stays: it reads proc and sysfs, asks
// nft and iptables for their versions and makes one overlay mount in a folder
// of its own, which it takes away again. Its answer, [Facts], is a value.
// What follows from it is pure: [Facts.Preflight] are the reasons not to
// start, each with its remedy, [Facts.Conditions] what kedge does differently
// here or what the node's owner should know. Nothing in other packages should
// guess at the host.
//
// Start reading at [Facts].
package host
