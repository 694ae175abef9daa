package wire

import "testing"

func TestOnlyWhatWasMadeAndLastSeenInALostPastIsUndone(t *testing.T) {
	r := Restores{Undone: []Stretch{{After: 100, Before: 5000}, {After: 5400, Before: 9000}}}
	for name, c := range map[string]struct {
		first, last int64
		want        bool
	}{
		"made after the snapshot":                   {101, 240, true},
		"the last change of the lost history":       {4999, 4999, true},
		"in the snapshot":                           {100, 100, false},
		"in the snapshot, changed after it":         {90, 240, false},
		"seen again since":                          {240, 5001, false},
		"made after the restore, in the snapshot":   {5001, 5400, false},
		"made after the second snapshot":            {5401, 5500, true},
		"made after both":                           {9001, 9001, false},
		"never seen":                                {0, 0, false},
		"in the first snapshot, lost in no restore": {7, 99, false},
	} {
		if got := r.Undid(c.first, c.last); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if (Restores{}).Undid(1, 2) {
		t.Error("nothing was restored")
	}
}
