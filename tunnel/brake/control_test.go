package brake

import (
	"testing"
	"time"
)

const (
	mbit = 1e6 / 8
	base = 40 * time.Millisecond
)

// line is a thin one with a queue in front of it. Lanes offer what they like up
// to their caps, and the line carries what it can.
type line struct {
	carries float64 // bytes per second
	queued  float64 // bytes
	foreign float64 // the rate of somebody else who does not give way
	control control
	lanes   []*flow
	offers  []float64
	prompt  flow
}

func newLine(carries float64, offers ...float64) *line {
	l := &line{carries: carries, offers: offers}
	for range offers {
		l.lanes = append(l.lanes, &flow{})
	}
	return l
}

// run lets time pass, in steps, and returns the mean rate and the mean queue.
func (l *line) run(d time.Duration) (rate float64, queue time.Duration) {
	steps := int(d / interval)
	for range steps {
		carried, waited := l.pass(interval.Seconds())
		rate += carried / float64(steps)
		queue += waited / time.Duration(steps)
	}
	return rate, queue
}

// pass lets dt seconds pass.
func (l *line) pass(dt float64) (carried float64, wait time.Duration) {
	sum := l.foreign
	rates := make([]float64, len(l.lanes))
	for i, f := range l.lanes {
		rates[i] = l.offers[i]
		if f.cap > 0 {
			rates[i] = min(rates[i], f.cap)
		}
		sum += rates[i]
	}
	// What comes out is a part of what goes in; more than all of it while a
	// queue drains.
	before := l.queued
	part := 1.
	if sum > 0 {
		part = min(l.carries/sum, 1+before/(sum*dt))
	}
	// The modem has room for 150 ms.
	l.queued = min(max(before+(sum-l.carries)*dt, 0), l.carries*0.15)
	wait = time.Duration(l.queued / l.carries * float64(time.Second))
	for i, f := range l.lanes {
		carried += rates[i] * part
		f.take(reading{
			rtt: base + wait, minRTT: base, full: l.offers[i] > 0,
			delivered: f.delivered + uint64(rates[i]*part*dt),
		}, interval)
	}
	l.prompt.take(reading{rtt: base + wait, minRTT: base}, interval)
	l.control.step(l.lanes, []*flow{&l.prompt})
	return carried, wait
}

func TestQueueGoesAndTheLineStaysFull(t *testing.T) {
	l := newLine(10*mbit, 5*mbit, 5*mbit, 5*mbit)
	if _, queue := l.run(time.Second); queue < 50*time.Millisecond {
		t.Fatalf("the lanes make a queue of %v only", queue)
	}
	l.run(10 * time.Second)
	rate, queue := l.run(30 * time.Second)
	if queue > 50*time.Millisecond {
		t.Errorf("the queue stays at %v", queue)
	}
	if rate < 9.3*mbit {
		t.Errorf("the line carries %.1f Mbit/s of 10", rate/mbit)
	}
}

func TestLanesFollowALineThatBecomesFaster(t *testing.T) {
	l := newLine(2*mbit, 20*mbit, 20*mbit)
	l.run(10 * time.Second)
	l.carries = 30 * mbit
	l.run(40 * time.Second)
	if rate, _ := l.run(5 * time.Second); rate < 25*mbit {
		t.Errorf("a line of 30 Mbit/s carries %.1f", rate/mbit)
	}
}

func TestLinesWithoutAQueueAndFastOnesHaveNoCap(t *testing.T) {
	for name, l := range map[string]*line{
		"no queue": newLine(10*mbit, 4*mbit, 4*mbit),
		"fast":     newLine(1000*mbit, 900*mbit, 900*mbit),
	} {
		l.run(20 * time.Second)
		for _, f := range l.lanes {
			if f.cap != 0 {
				t.Errorf("%s: a lane has a cap of %.1f Mbit/s", name, f.cap/mbit)
			}
		}
	}
}

func TestSomebodyElsesQueueIsLeftToHim(t *testing.T) {
	l := newLine(10*mbit, 5*mbit, 5*mbit)
	l.foreign = 20 * mbit
	l.run(time.Second * (patience + 2) / 4)
	if l.control.cap != 0 || l.control.offFor == 0 {
		t.Fatalf("the cap is %.1f Mbit/s although that does not help", l.control.cap/mbit)
	}
	for _, f := range l.lanes {
		if f.cap != 0 {
			t.Errorf("a lane has a cap of %.1f Mbit/s", f.cap/mbit)
		}
	}
}

func TestALaneWithNothingToSendHasNoCap(t *testing.T) {
	l := newLine(10*mbit, 8*mbit, 8*mbit)
	l.run(5 * time.Second)
	if l.control.cap == 0 {
		t.Fatal("there is no cap beside a queue")
	}
	l.offers = []float64{0, 0}
	l.run(quiet * interval)
	if l.control.cap != 0 || l.lanes[0].cap != 0 || l.lanes[1].cap != 0 {
		t.Error("there is a cap although nothing is sent")
	}
}

func TestWhatALaneDoesNotUseGoesToOthers(t *testing.T) {
	l := newLine(10*mbit, mbit, 20*mbit)
	l.run(20 * time.Second)
	if rate, _ := l.run(10 * time.Second); rate < 9.3*mbit {
		t.Errorf("the line carries %.1f Mbit/s of 10", rate/mbit)
	}
	if c := l.lanes[0].cap; c < 2*mbit {
		t.Errorf("the lane that sends little may send %.1f Mbit/s only", c/mbit)
	}
}
