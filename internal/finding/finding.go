package finding

import (
	"cmp"
	"fmt"
	"slices"
)

// Severity says how bad a finding is.
type Severity string

// The severities. An error keeps a node or a server from working: it should not
// be started before that is mended. A warning takes something away, or will.
// Info is for the curious, OK for what was looked at and is well.
const (
	OK      Severity = "ok"
	Info    Severity = "info"
	Warning Severity = "warning"
	Error   Severity = "error"
)

var ranks = map[Severity]int{OK: 0, Info: 1, Warning: 2, Error: 3}

// Worse tells whether s is worse than other.
func (s Severity) Worse(other Severity) bool { return ranks[s] > ranks[other] }

// ID is the stable name of what was looked at, such as host.overlay.
type ID string

// Finding is one thing that was found.
type Finding struct {
	ID       ID       `json:"id"`
	Severity Severity `json:"severity"`
	// What was found, with the values of this host.
	What string `json:"what"`
	// Why it matters, what kedge does without it, and what helps. Empty where
	// the severity is OK.
	Why     string `json:"why,omitempty"`
	Without string `json:"without,omitempty"`
	Remedy  string `json:"remedy,omitempty"`
}

// New takes what is said of an id from the catalogue. An id that is not there is an
// error of the program, found by its tests, and says so in its remedy.
func New(id ID, s Severity, format string, args ...any) Finding {
	f := Finding{ID: id, Severity: s, What: fmt.Sprintf(format, args...)}
	if s == OK {
		return f
	}
	e, ok := Lookup(id)
	if !ok {
		f.Remedy = "report this: the catalogue does not have " + string(id)
		return f
	}
	f.Why, f.Without, f.Remedy = e.Why, e.Without, e.Remedy
	return f
}

// Instead is f with a remedy for this very case.
func (f Finding) Instead(format string, args ...any) Finding {
	if f.Severity != OK {
		f.Remedy = fmt.Sprintf(format, args...)
	}
	return f
}

// Worst is the severity of the worst one; [OK] for none.
func Worst(all []Finding) Severity {
	worst := OK
	for _, f := range all {
		if f.Severity.Worse(worst) {
			worst = f.Severity
		}
	}
	return worst
}

// Sort puts the worst first, and those of one severity in the order of their ids.
func Sort(all []Finding) {
	slices.SortStableFunc(all, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(ranks[b.Severity], ranks[a.Severity]), cmp.Compare(a.ID, b.ID))
	})
}

// Count is how many findings have the severity.
func Count(all []Finding, s Severity) int {
	n := 0
	for _, f := range all {
		if f.Severity == s {
			n++
		}
	}
	return n
}
