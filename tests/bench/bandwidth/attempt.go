package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"testing"
)

// attempted lets a program use what is made for tests: the beds of traffic. It is
// a testing.TB of which the methods are there that they call.
type attempted struct {
	testing.TB
	ctx      context.Context
	cleanups []func()
	failed   error
}

// attempt runs do, removes what it made, and returns what failed.
func attempt(ctx context.Context, do func(t *attempted)) error {
	t := &attempted{ctx: ctx}
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

func (t *attempted) Helper()                  {}
func (t *attempted) Name() string             { return "bandwidth" }
func (t *attempted) Context() context.Context { return t.ctx }
func (t *attempted) Failed() bool             { return t.failed != nil }
func (t *attempted) Cleanup(f func())         { t.cleanups = append(t.cleanups, f) }
func (t *attempted) Log(args ...any)          { fmt.Fprintln(os.Stderr, args...) }
func (t *attempted) Logf(f string, a ...any)  { fmt.Fprintf(os.Stderr, f+"\n", a...) }

func (t *attempted) Error(args ...any) {
	t.failed = errors.Join(t.failed, errors.New(fmt.Sprint(args...)))
}
func (t *attempted) Errorf(f string, a ...any) { t.failed = errors.Join(t.failed, fmt.Errorf(f, a...)) }

// FailNow ends the goroutine of the attempt, as with a test.
func (t *attempted) FailNow() { runtime.Goexit() }

func (t *attempted) Fatal(args ...any)         { t.Error(args...); t.FailNow() }
func (t *attempted) Fatalf(f string, a ...any) { t.Errorf(f, a...); t.FailNow() }
func (t *attempted) Skip(args ...any)          { t.Fatal(args...) }
func (t *attempted) Skipf(f string, a ...any)  { t.Fatalf(f, a...) }

// TempDir goes with the attempt.
func (t *attempted) TempDir() string {
	dir, err := os.MkdirTemp("", "kedge-bench-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
