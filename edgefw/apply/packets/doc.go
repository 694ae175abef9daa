// Package packets has no code but tests: it sends real packets through the real
// kernel under rulesets that the real plan makes, and compares what becomes of
// them with a table and with what [plan.Decide] says.
//
// The table is in cases_*_test.go, as text that reads like a description of
// packets; site_test.go has the machines between which they travel. All of it
// runs with each variant of iptables, in network namespaces (tag namespace).
//
// [plan.Decide]: https://pkg.go.dev/github.com/kedge-io/kedge/edgefw/plan#Decide
package packets
