//go:build namespace

package packets

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/kedge-io/kedge/edgefw/apply"
)

func variants(t *testing.T, f func(t *testing.T, s *site, k *apply.Kernel)) {
	for _, v := range []apply.Variant{apply.Legacy, apply.NFT} {
		t.Run(string(v), func(t *testing.T) {
			s := newSite(t, string(v))
			f(t, s, newKernel(t, v))
		})
	}
}

func TestPackets(t *testing.T) {
	variants(t, func(t *testing.T, s *site, k *apply.Kernel) {
		// Under rules that let everything through: so far the site itself is right,
		// and it is known how long answers take.
		wait := s.calibrate(t, s.enforce(t, k, open))
		count := 0
		for _, r := range rulings {
			t.Run(r.name, func(t *testing.T) {
				e := s.enforce(t, k, r)
				s.forget(t)
				count += e.check(t, r.probes(t), wait)
			})
		}
		t.Logf("%d packets, waiting %v for an answer that should not come", count, wait)
	})
}

// calibrate sends what the other rulings will send, one by one, and returns how
// long to wait for an answer before it counts as dropped: far longer than any took.
func (s *site) calibrate(t *testing.T, e *enforced) time.Duration {
	t.Helper()
	var slowest time.Duration
	for _, p := range open.probes(t) {
		began := time.Now()
		if got := s.send(p, patience); got != p.want {
			t.Errorf("%s: got %s", p.name(), got)
		}
		slowest = max(slowest, time.Since(began))
	}
	const least, factor = 100 * time.Millisecond, 20
	return min(max(least, factor*slowest), time.Second)
}

// check sends all probes at once and compares what became of them with the table,
// with what plan says, and with the counters of the rules that plan names.
func (e *enforced) check(t *testing.T, probes []probe, wait time.Duration) int {
	before := e.counters(t)
	got := make([]string, len(probes))
	var all sync.WaitGroup
	for i, p := range probes {
		all.Go(func() {
			if p.want == dropped {
				got[i] = e.send(p, wait)
			} else {
				got[i] = e.send(p, patience)
			}
		})
	}
	all.Wait()
	after := e.counters(t)
	for i, p := range probes {
		t.Run(p.name(), func(t *testing.T) {
			if got[i] != p.want {
				t.Errorf("packet: got %s, want %s", got[i], p.want)
			}
			e.explain(t, p, before, after)
		})
	}
	return len(probes)
}

// explain compares a probe with what plan says of it.
func (e *enforced) explain(t *testing.T, p probe, before, after map[string]uint64) {
	if slices.Contains([]string{p.who, p.to}, "docker") && !slices.Contains(hostPlaces, p.to) {
		return // forwarded for somebody else
	}
	want, d := e.decide(p)
	if refusedOrDropped := p.want == dropped || p.want == refused; refusedOrDropped && p.want != want || !refusedOrDropped && want != "answered" {
		t.Errorf("plan says %s (%s: %s), want %s", want, d.Rule, d.Why, p.want)
	}
	if d.Rule != "" && after[d.Rule] <= before[d.Rule] {
		t.Errorf("plan says that %s decides, which counted nothing", d.Rule)
	}
}

var hostPlaces = []string{"host", "loopback", "gateway", "dns", "api", "bridge"}

func (e *enforced) counters(t *testing.T) map[string]uint64 {
	list, err := e.kernel.Counters()
	if err != nil {
		t.Fatal(err)
	}
	numbers := map[string]uint64{}
	for _, c := range list {
		numbers[c.Rule] = c.Packets
	}
	return numbers
}
