package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kedge-io/kedge/edgefw/model"
)

// Difference is what is different between two rulesets, for people.
type Difference struct {
	// Added and Removed are lines of [Text], without sets. A rule that changed is
	// in both.
	Added   []string `json:"added,omitempty"`
	Removed []string `json:"removed,omitempty"`
	// Moved are lines of both that come later now than ones they were before.
	Moved []string `json:"moved,omitempty"`
	// Sets that changed, came or went.
	Sets []SetDifference `json:"sets,omitempty"`
}

// SetDifference is how one set changed.
type SetDifference struct {
	ID model.SetID `json:"id"`
	// Change is "+" for a set that is new, "-" for one that is gone and "~" for
	// one whose entries changed.
	Change string `json:"change"`
	// Added and Removed count entries; Examples are at most ten, with + or - in
	// front.
	Added    int      `json:"added,omitempty"`
	Removed  int      `json:"removed,omitempty"`
	Examples []string `json:"examples,omitempty"`
}

// Diff is what is different. Either may be nil.
func Diff(before, after *model.Ruleset) Difference {
	if before == nil {
		before = &model.Ruleset{}
	}
	if after == nil {
		after = &model.Ruleset{}
	}
	was, is := linesOf(before), linesOf(after)
	return Difference{
		Added: without(is, was), Removed: without(was, is), Moved: moved(without(was, without(was, is)), without(is, without(is, was))),
		Sets: diffSets(before.Sets, after.Sets),
	}
}

func linesOf(rs *model.Ruleset) []string {
	return slices.Concat(hostLines(&rs.Host), podLines(&rs.Pods))
}

// without are the lines that the other has not.
func without(lines, other []string) []string {
	has := make(map[string]bool, len(other))
	for _, line := range other {
		has[line] = true
	}
	return slices.DeleteFunc(slices.Clone(lines), func(line string) bool { return has[line] })
}

// moved goes through the same lines in two orders and names those that were
// passed by.
func moved(was, is []string) []string {
	place := make(map[string]int, len(was))
	for i, line := range was {
		place[line] = i
	}
	var out []string
	furthest := -1
	for _, line := range is {
		if place[line] < furthest {
			out = append(out, line)
			continue
		}
		furthest = place[line]
	}
	return out
}

func diffSets(before, after map[model.SetID]model.Set) []SetDifference {
	ids := maps.Clone(before)
	if ids == nil {
		ids = map[model.SetID]model.Set{}
	}
	maps.Copy(ids, after)
	var out []SetDifference
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		was, had := before[id]
		is, has := after[id]
		if d := diffSet(was, is); had != has || d.Added+d.Removed > 0 {
			d.ID, d.Change = id, sign(had, has)
			out = append(out, d)
		}
	}
	return out
}

func sign(had, has bool) string {
	switch {
	case had && has:
		return "~"
	case has:
		return "+"
	default:
		return "-"
	}
}

// maxExamples is how many entries people see of a change.
const maxExamples = 10

func diffSet(was, is model.Set) SetDifference {
	if sameSlice(was.Prefixes, is.Prefixes) && sameSlice(was.Pods, is.Pods) && was.Name == is.Name {
		return SetDifference{}
	}
	before, after := entriesOf(was), entriesOf(is)
	removed, added := without(before, after), without(after, before)
	d := SetDifference{Added: len(added), Removed: len(removed)}
	for _, entry := range removed {
		d.example("-" + entry)
	}
	for _, entry := range added {
		d.example("+" + entry)
	}
	return d
}

func (d *SetDifference) example(entry string) {
	if len(d.Examples) < maxExamples {
		d.Examples = append(d.Examples, entry)
	}
}

// Empty tells that nothing is different.
func (d Difference) Empty() bool {
	return len(d.Added)+len(d.Removed)+len(d.Moved)+len(d.Sets) == 0
}

// String has a line for each difference; "+" is in front of what is new, "-" of
// what is gone and ">" of what comes later than before.
func (d Difference) String() string {
	var b strings.Builder
	for _, part := range []struct {
		sign  string
		lines []string
	}{{"-", d.Removed}, {"+", d.Added}, {">", d.Moved}} {
		for _, line := range part.lines {
			fmt.Fprintf(&b, "%s %s\n", part.sign, line)
		}
	}
	for _, s := range d.Sets {
		line := fmt.Sprintf("%s set %s: %d added, %d removed: %s", s.Change, s.ID, s.Added, s.Removed, strings.Join(s.Examples, " "))
		b.WriteString(strings.TrimRight(line, ": ") + "\n")
	}
	return b.String()
}
