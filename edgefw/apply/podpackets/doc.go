// Package podpackets has tests only: real packets between pods of a node, pods
// of other nodes and the world, under network policies, against what the rules
// say for people.
package podpackets
