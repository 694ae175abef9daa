package main

import (
	"testing"
	"time"
)

func TestNewestIsTheHighestStep(t *testing.T) {
	for line, want := range map[string]string{
		"":                             "",
		`{"x":"step-9","y":"step-10"}`: "step-10",
		`{"x":"step-12"} step-3`:       "step-12",
	} {
		if got := newest(line); got != want {
			t.Errorf("%s: got %q", line, got)
		}
	}
}

// at is a probe that has sent n datagrams in this step, one a millisecond, the
// first with this number.
func at(first uint64, n int) *probe {
	p := &probe{first: first}
	for k := range n {
		p.sent = append(p.sent, time.UnixMilli(int64(k)))
	}
	return p
}

func TestTheFirstThatArrivesTellsWhenItWasAllowed(t *testing.T) {
	p := at(100, 50)
	if _, ok := p.verdict(true); ok {
		t.Error("nothing has arrived")
	}
	p.arrived, p.earliest = 149, 120
	if when, ok := p.verdict(true); !ok || when != time.UnixMilli(20) {
		t.Errorf("got %v, %v", when, ok)
	}
}

func TestTheFirstOfManyThatAreMissingTellsWhenItWasDenied(t *testing.T) {
	p := at(100, 30+quiet)
	p.arrived = 129
	if when, ok := p.verdict(false); !ok || when != time.UnixMilli(30) {
		t.Errorf("got %v, %v", when, ok)
	}
	p.arrived = 131
	if _, ok := p.verdict(false); ok {
		t.Error("so few may just be late")
	}
	p.arrived = 99 // none of this step
	if when, ok := p.verdict(false); !ok || when != time.UnixMilli(0) {
		t.Errorf("got %v, %v", when, ok)
	}
}
