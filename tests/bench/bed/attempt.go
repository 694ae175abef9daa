package bed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"testing"
)

// Attempted lets a program use what is made for tests: clusters in the
// laboratory. It is a testing.TB of which the methods are there that they call.
type Attempted struct {
	testing.TB
	name     string
	ctx      context.Context
	cleanups []func()
	failed   error
}

// Attempt runs do, removes what it made, and returns what failed. The name is
// that of what is measured.
func Attempt(ctx context.Context, name string, do func(t *Attempted)) error {
	t := &Attempted{name: name, ctx: ctx}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			for _, c := range slices.Backward(t.cleanups) {
				c()
			}
		}()
		do(t)
	}()
	<-done
	return t.failed
}

// Helper does nothing.
func (t *Attempted) Helper() {}

// Name is that of what is measured.
func (t *Attempted) Name() string { return t.name }

// Context ends when the program is to end.
func (t *Attempted) Context() context.Context { return t.ctx }

// Failed tells whether something went wrong.
func (t *Attempted) Failed() bool { return t.failed != nil }

// Cleanup has f called at the end.
func (t *Attempted) Cleanup(f func()) { t.cleanups = append(t.cleanups, f) }

// Log tells people.
func (t *Attempted) Log(args ...any) { fmt.Fprintln(os.Stderr, args...) }

// Logf is Log with a format.
func (t *Attempted) Logf(f string, a ...any) { fmt.Fprintf(os.Stderr, f+"\n", a...) }

// Error notes what went wrong.
func (t *Attempted) Error(args ...any) {
	t.failed = errors.Join(t.failed, errors.New(fmt.Sprint(args...)))
}

// Errorf is Error with a format.
func (t *Attempted) Errorf(f string, a ...any) { t.failed = errors.Join(t.failed, fmt.Errorf(f, a...)) }

// FailNow ends the goroutine of the attempt, as with a test.
func (t *Attempted) FailNow() { runtime.Goexit() }

// Fatal notes what went wrong and ends the attempt.
func (t *Attempted) Fatal(args ...any) { t.Error(args...); t.FailNow() }

// Fatalf is Fatal with a format.
func (t *Attempted) Fatalf(f string, a ...any) { t.Errorf(f, a...); t.FailNow() }

// Skip is Fatal: a figure that was not taken is missing.
func (t *Attempted) Skip(args ...any) { t.Fatal(args...) }

// Skipf is Skip with a format.
func (t *Attempted) Skipf(f string, a ...any) { t.Fatalf(f, a...) }

// TempDir returns a folder that goes with the attempt.
func (t *Attempted) TempDir() string {
	dir, err := os.MkdirTemp("", "kedge-bench-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
