package bed

import (
	"sync"
	"testing"

	"github.com/kedge-io/kedge/tests/traffic/flow"
)

// Task is a job for an end.
type Task struct {
	End End
	Job flow.Job
}

// Together runs all tasks at the same time, without a look at their results.
func Together(t testing.TB, tasks ...Task) []flow.Result {
	t.Helper()
	results := make([]flow.Result, len(tasks))
	var wg sync.WaitGroup
	for i, k := range tasks {
		wg.Go(func() { results[i] = k.End.Run(t.Context(), k.Job) })
	}
	wg.Wait()
	return results
}

// Whole is Together that fails the test if anything was not as it was sent.
func Whole(t testing.TB, tasks ...Task) []flow.Result {
	t.Helper()
	results := Together(t, tasks...)
	for i := range results {
		if results[i].Error != "" {
			t.Errorf("%s at %s: %s", tasks[i].Job.Kind, tasks[i].End.Addr, results[i].Error)
		}
	}
	return results
}

// Payload is what TCP carries where so many bits per second cross the line: of 1514
// bytes of a frame 1448 are payload (Ethernet 14, IP 20, TCP 20 and 12 of time stamps).
func Payload(rate float64) float64 { return rate * 1448 / 1514 }
