package apilb

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
)

func TestCandidateThatComesAndGoesWaitsLonger(t *testing.T) {
	now := time.Unix(1e9, 0)
	c := newCandidate("192.0.2.1:6443", true, now)
	c.worked(now)
	now = now.Add(2 * steadyAfter)
	var waits []time.Duration
	for range 6 {
		c.failed(errors.New("refused"), now)
		waits = append(waits, c.next.Sub(now))
		now = c.next
		c.worked(now)
		now = now.Add(time.Second)
	}
	want := []time.Duration{1, 2, 4, 8, 16, 16}
	for i, w := range want {
		if waits[i] != w*time.Minute {
			t.Fatalf("waits %v", waits)
		}
	}
	now = now.Add(2 * steadyAfter)
	if c.failed(errors.New("refused"), now); c.next.Sub(now) != probeEvery {
		t.Errorf("after a steady time it waits %s", c.next.Sub(now))
	}
}

func TestProbesOfWhatIsNotInUseAreRare(t *testing.T) {
	p := newPool(Config{Server: "192.0.2.1:6443"}, quietLog())
	now := p.now()
	p.now = func() time.Time { return now }
	p.learn([]netip.AddrPort{netip.MustParseAddrPort("192.0.2.2:6443")})
	given, learned := p.list[0], p.list[1]
	given.worked(now)
	probes := 0
	for range 24 * 3600 / 2 {
		now = now.Add(judgeEvery)
		if p.due(given, true, now) {
			t.Fatal("what is in use is probed")
		}
		if p.due(learned, true, now) {
			probes++
			learned.failed(errors.New("timeout"), now)
		}
	}
	if probes > 30 {
		t.Errorf("an address that cannot be reached was probed %d times in a day", probes)
	}
}

func TestAddressesAreReadFromTheSlice(t *testing.T) {
	port, other, name, metrics := int32(6443), int32(1), "https", "metrics"
	slice := &discoveryv1.EndpointSlice{
		Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"192.0.2.1", "nonsense"}}, {Addresses: []string{"2001:db8::1"}}},
		Ports:     []discoveryv1.EndpointPort{{Name: &name, Port: &port}, {Name: &metrics, Port: &other}, {}},
	}
	got := addressesOf(slice)
	if len(got) != 2 || got[0].String() != "192.0.2.1:6443" || got[1].String() != "[2001:db8::1]:6443" {
		t.Errorf("got %v", got)
	}
}

func FuzzMemory(f *testing.F) {
	f.Add([]byte(`{"servers":["192.0.2.1:6443","[2001:db8::1]:6443"]}`))
	f.Add([]byte(`{"servers":["",null,"x"]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		addrs, err := parseMemory(text)
		if err != nil {
			return
		}
		p := newPool(Config{Server: "192.0.2.1:6443"}, quietLog())
		p.learn(addrs)
		if len(p.list) > maxLearned+1 {
			t.Fatalf("%d candidates", len(p.list))
		}
		for _, c := range p.list[1:] {
			if _, err := netip.ParseAddrPort(c.addr); err != nil || c.serves() {
				t.Fatalf("candidate %+v", c)
			}
		}
	})
}
