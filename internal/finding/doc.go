// Package finding has the words in which kedge check and kedge doctor speak: a
// finding with its severity and its remedy, and the catalogue of all of them.
//
// Ids are stable: scripts and the table in docs/operations/troubleshooting.md use
// them. Why a finding matters, what kedge does without the thing and what helps is
// the same wherever it is found and stands in the catalogue; what was found is said
// by whoever looked. This package looks at nothing itself.
//
// Start reading at [Finding]; the catalogue is in host.go, network.go, way.go and
// node.go.
package finding
