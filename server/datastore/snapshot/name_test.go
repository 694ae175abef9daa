package snapshot

import (
	"testing"
	"time"
)

func TestNodeOfAName(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	for _, c := range []struct {
		file     string
		of, sure bool
	}{
		{fileName("scheduled", "a", at, 1), true, true},
		{fileName("scheduled", "a", at, 2), true, true},
		{fileName("scheduled", "b-a-c", at, 1), false, true},
		{fileName("scheduled", "a-c", at, 1), false, true},
		{fileName("scheduled", "ba", at, 1), false, true},
		{fileName("scheduled", "b-a", at, 1), true, false}, // or scheduled-b of a
		{fileName("on-demand", "a", at, 1), true, false},   // or on of demand-a
		{"a-20260304T050607Z" + Suffix, false, true},
		{"scheduled-a-yesterday" + Suffix, false, true},
		{"scheduled-a-20260304T050607Z.part", false, true},
	} {
		if of, sure := Node(c.file, "a"); of != c.of || sure != c.sure {
			t.Errorf("%s of a: %v, sure %v", c.file, of, sure)
		}
	}
}
