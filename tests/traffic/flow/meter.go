package flow

import (
	"slices"
	"time"
)

// meter counts what arrives.
type meter struct {
	origin time.Time
	bins   []int64
	bytes  int64
	last   time.Time
	gap    time.Duration
}

func (m *meter) add(n int, now time.Time) {
	if i := int(now.Sub(m.origin) / Bin); i >= 0 && n > 0 {
		for len(m.bins) <= i {
			m.bins = append(m.bins, 0)
		}
		m.bins[i] += int64(n)
	}
	m.bytes += int64(n)
	if !m.last.IsZero() {
		m.gap = max(m.gap, now.Sub(m.last))
	}
	m.last = now
}

func (m *meter) result() Result { return Result{Bins: m.bins, Bytes: m.bytes, Gap: m.gap} }

// merge adds the counts of another stream of the same job.
func (r *Result) merge(o Result) {
	for len(r.Bins) < len(o.Bins) {
		r.Bins = append(r.Bins, 0)
	}
	for i, n := range o.Bins {
		r.Bins[i] += n
	}
	r.Bytes += o.Bytes
	r.Retransmits += o.Retransmits
	r.Gap = max(r.Gap, o.Gap)
}

// Mean is the mean rate in bits per second between two times since the start, to
// whole bins. Bins after the last one are empty.
func (r Result) Mean(from, to time.Duration) float64 {
	first, end := int(from/Bin), int(to/Bin)
	var sum int64
	for i := first; i < end && i < len(r.Bins); i++ {
		sum += r.Bins[i]
	}
	if end <= first {
		return 0
	}
	return float64(sum) * 8 / (time.Duration(end-first) * Bin).Seconds()
}

// Peak is the highest mean rate of any window of that width, in bits per second.
func (r Result) Peak(width time.Duration) float64 {
	n := int(width / Bin)
	if n < 1 {
		return 0
	}
	var most, sum int64
	for i, b := range r.Bins {
		sum += b
		if i >= n {
			sum -= r.Bins[i-n]
		}
		most = max(most, sum)
	}
	return float64(most) * 8 / (time.Duration(n) * Bin).Seconds()
}

// Delays are percentiles.
type Delays struct {
	N                  int
	P50, P90, P99, Max time.Duration
}

func delaysOf(all []time.Duration) Delays {
	if len(all) == 0 {
		return Delays{}
	}
	slices.Sort(all)
	at := func(p int) time.Duration { return all[(len(all)-1)*p/100] }
	return Delays{N: len(all), P50: at(50), P90: at(90), P99: at(99), Max: at(100)}
}
