//go:build namespace

package packets

import (
	"context"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kedge-io/kedge/edgefw/apply"
	"github.com/kedge-io/kedge/edgefw/model"
)

// limited is a rule with a limit, and how many of ten packets of each sender get
// through. All lines share the limit.
type limited struct {
	name    string
	rate    *model.RateLimit
	most    *model.ConnectionLimit
	lines   []string // as in a ruling, with the place that answers
	through int      // of each line's packets; with Per PerRule of all together
}

// perMinute lets burst packets through and then none for twenty seconds.
func perMinute(burst uint32, per model.Per) *model.RateLimit {
	return &model.RateLimit{Count: 3, Seconds: 60, Burst: burst, Per: per}
}

var limits = []limited{
	{name: "TCP for each source", rate: perMinute(4, model.PerSource), through: 4,
		lines: []string{"friend tcp4 host:80 host", "stranger tcp4 host:80 host", "friend tcp6 host:80 host"}},
	{name: "TCP for all sources", rate: perMinute(4, model.PerRule), through: 4,
		lines: []string{"friend tcp4 host:80 host", "stranger tcp4 host:80 host"}},
	{name: "IPv6 for all sources", rate: perMinute(5, model.PerRule), through: 5,
		lines: []string{"friend tcp6 host:80 host", "stranger tcp6 host:80 host"}},
	{name: "UDP for each source", rate: perMinute(3, model.PerSource), through: 3,
		lines: []string{"friend udp4 host:53 host", "stranger udp6 host:53 host", "buddy udp4 host:53 host"}},
	{name: "pings for each source", rate: perMinute(2, model.PerSource), through: 2,
		lines: []string{"friend icmp4 host host", "stranger icmp6 host host"}},
	{name: "a node port", rate: perMinute(4, model.PerSource), through: 4,
		lines: []string{"friend tcp4 host:30080 pod", "stranger tcp4 host:30080 pod"}},
	{name: "published by Docker", rate: perMinute(4, model.PerSource), through: 4,
		lines: []string{"friend tcp4 host:9090 docker", "friend tcp6 host:9090 docker"}},
	{name: "connections of each source", most: &model.ConnectionLimit{Max: 3, Per: model.PerSource}, through: 3,
		lines: []string{"friend tcp4 host:80 host", "stranger tcp4 host:80 host", "friend tcp6 host:80 host"}},
	{name: "connections of all sources", most: &model.ConnectionLimit{Max: 3, Per: model.PerRule}, through: 3,
		lines: []string{"friend tcp4 host:80 host", "stranger tcp4 host:80 host"}},
	{name: "connections to a node port", most: &model.ConnectionLimit{Max: 2, Per: model.PerSource}, through: 2,
		lines: []string{"friend tcp4 host:30080 pod", "stranger tcp4 host:30080 pod"}},
}

func (l limited) ruling(more ...rule) ruling {
	rules := append([]rule{{Action: model.Allow, Rate: l.rate, Connections: l.most}}, more...)
	return ruling{name: l.name, firewalls: []model.Firewall{firewall(strings.ReplaceAll(l.name, " ", "-"),
		model.Firewall{Ingress: model.Section{Default: model.Deny, Rules: rules}})}}
}

func (l limited) perRule() bool {
	return l.rate != nil && l.rate.Per == model.PerRule || l.most != nil && l.most.Per == model.PerRule
}

const attempts = 10

func TestLimits(t *testing.T) {
	variants(t, func(t *testing.T, s *site, k *apply.Kernel) {
		wait := s.calibrate(t, s.enforce(t, k, open))
		for _, l := range limits {
			t.Run(l.name, func(t *testing.T) { s.limit(t, k, l, wait) })
		}
	})
}

// limit begins flows, which go on until the end, and then more of them under a new
// generation of the same rule: what was used up is still used up.
func (s *site) limit(t *testing.T, k *apply.Kernel, l limited, wait time.Duration) {
	s.enforce(t, k, l.ruling())
	s.forget(t)
	var flows []*flow
	defer func() {
		for _, f := range flows {
			f.close()
		}
	}()
	total := 0
	for _, line := range l.lines {
		began := s.beginMany(t, line, wait)
		flows = append(flows, began...)
		if total += len(began); !l.perRule() && len(began) != l.through {
			t.Errorf("%s: %d of %d got through, want %d", line, len(began), attempts, l.through)
		}
	}
	if l.perRule() && total != l.through {
		t.Errorf("%d of %d got through together, want %d", total, attempts*len(l.lines), l.through)
	}
	e := s.enforce(t, k, l.ruling(rule{Action: model.Reject, Protocol: model.TCP, Ports: ports(1)}))
	for _, f := range flows {
		if got := f.talk(patience); got != alive {
			t.Errorf("%s: what got through does not go on: %s", f.line, got)
		}
	}
	for _, line := range l.lines {
		if again := s.beginMany(t, line, wait); len(again) > 0 {
			t.Errorf("%s: %d more got through under a new generation", line, len(again))
			flows = append(flows, again...)
		}
	}
	e.wantLimited(t)
}

// beginMany tries several times at once and returns what got through.
func (s *site) beginMany(t *testing.T, line string, wait time.Duration) []*flow {
	t.Helper()
	probes, err := parseLine(line)
	if err != nil || len(probes) != 1 {
		t.Fatalf("%s: %d probes, %v", line, len(probes), err)
	}
	var mu sync.Mutex
	var began []*flow
	var all sync.WaitGroup
	for range attempts {
		all.Go(func() {
			if f := s.begin(probes[0], wait); f.err == nil {
				mu.Lock()
				defer mu.Unlock()
				began = append(began, f)
			} else if got := outcome(f.err); got != dropped {
				t.Errorf("%s: %s, want dropped", line, got)
			}
		})
	}
	all.Wait()
	return began
}

func (e *enforced) wantLimited(t *testing.T) {
	t.Helper()
	list, err := e.kernel.Counters()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range list {
		if c.Limited > 0 {
			return
		}
	}
	t.Errorf("no counter tells what was dropped: %+v", list)
}

func TestClosedConnectionsMakeRoom(t *testing.T) {
	variants(t, func(t *testing.T, s *site, k *apply.Kernel) {
		l := limited{name: "room", most: &model.ConnectionLimit{Max: 2, Per: model.PerSource}}
		s.enforce(t, k, l.ruling())
		began := s.beginMany(t, "friend tcp4 host:80 host", time.Second)
		if len(began) != 2 {
			t.Fatalf("%d connections, want 2", len(began))
		}
		for _, f := range began {
			f.close()
		}
		probes, _ := parseLine("friend tcp4 host:80 host")
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		for ctx.Err() == nil {
			if s.send(probes[0], time.Second) == "host" {
				return
			}
		}
		t.Error("there is no room after all connections were closed")
	})
}

func TestStrangersAreLimitedAtTheDoor(t *testing.T) {
	variants(t, func(t *testing.T, s *site, k *apply.Kernel) {
		s.enforce(t, k, ruling{name: "door", isServer: true, facts: func(f *model.Facts) { f.Door = 6443 }, firewalls: ingress(model.Deny)})
		// More at once than strangers may, from one address.
		const many = 200
		for who, all := range map[string]bool{"stranger": false, "peer": true} {
			if n := s.knock(who, many); (n == many) != all || n < 50 {
				t.Errorf("%s: %d of %d connections got through", who, n, many)
			}
		}
	})
}

// knock opens many connections to the door at once and tells how many there were
// before the first packet would be sent again.
func (s *site) knock(who string, many int) int {
	probes, _ := parseLine(who + " tcp4 host:6443 host")
	var mu sync.Mutex
	n := 0
	s.outside.Do(func() {
		var all sync.WaitGroup
		for range many {
			c, err := dialTCP(probes[0], 300*time.Millisecond)
			if err != nil {
				break
			}
			all.Go(func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(patience))
				if _, err := io.ReadFull(c, make([]byte, 1)); err == nil {
					mu.Lock()
					n++
					mu.Unlock()
				}
			})
		}
		all.Wait()
	})
	return n
}
