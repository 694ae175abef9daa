package plan

import "github.com/kedge-io/kedge/edgefw/model"

// Difference is what is different between two rulesets, for people.
type Difference struct {
	// Added and Removed are lines of [Text]. A rule that changed is in both.
	Added   []string `json:"added,omitempty"`
	Removed []string `json:"removed,omitempty"`
	// Moved tells that rules of both come in another order.
	Moved []string `json:"moved,omitempty"`
	// Sets that changed.
	Sets []SetDifference `json:"sets,omitempty"`
}

// SetDifference is how one set changed.
type SetDifference struct {
	ID model.SetID `json:"id"`
	// Added and Removed count entries; Examples are at most ten, with + or - in
	// front.
	Added    int      `json:"added,omitempty"`
	Removed  int      `json:"removed,omitempty"`
	Examples []string `json:"examples,omitempty"`
}

// Diff is what is different. Either may be nil.
func Diff(before, after *model.Ruleset) Difference { return Difference{} }

// Empty tells that nothing is different.
func (d Difference) Empty() bool {
	return len(d.Added)+len(d.Removed)+len(d.Moved)+len(d.Sets) == 0
}

// String has a line for each difference, "+" or "-" in front.
func (d Difference) String() string { return "" }

// Text is the stable form of a ruleset for people: a line for each rule, default
// and set.
func Text(rs *model.Ruleset) string { return "" }
