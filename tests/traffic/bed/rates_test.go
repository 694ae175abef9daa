package bed

import (
	"fmt"
	"testing"
)

// verdict counts what a test says.
type verdict struct {
	testing.TB
	errors int
}

func (v *verdict) Helper()               {}
func (v *verdict) Logf(string, ...any)   {}
func (v *verdict) Errorf(string, ...any) { v.errors++ }
func (v *verdict) Failed() bool          { return v.errors > 0 }

func TestOnlyWhatIsTooLowIsMeasuredAgain(t *testing.T) {
	for _, c := range []struct {
		got           []float64
		shared        bool
		tries, errors int
	}{
		{[]float64{100}, false, 1, 0},
		{[]float64{80, 100}, false, 2, 0},
		{[]float64{80, 80, 100}, false, 3, 0},
		{[]float64{80, 80, 80, 80, 80, 100}, false, 5, 1},
		{[]float64{120, 100}, false, 1, 1},
		{[]float64{80, 120}, false, 2, 1},
		{[]float64{120, 100}, true, 2, 0},
		{[]float64{120, 120, 120, 120, 120}, true, 5, 1},
	} {
		v, n := &verdict{}, 0
		Rates(v, func() []Rate {
			r := Around("rate", c.got[n], 100, 10)
			r.Shared = c.shared
			n++
			return []Rate{r}
		})
		if n != c.tries || v.errors != c.errors {
			t.Error(fmt.Sprint(c, ": ", n, " tries, ", v.errors, " errors"))
		}
	}
}
