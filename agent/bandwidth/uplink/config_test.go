package uplink

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/agent/bandwidth/model"
	"github.com/kedge-io/kedge/internal/bitrate"
)

const mbit = bitrate.Mbit

func TestUplinksAreRead(t *testing.T) {
	for _, c := range []struct {
		words []string
		want  []spec
	}{
		{nil, []spec{{}}},
		{[]string{"auto"}, []spec{{}}},
		{[]string{"none"}, []spec{{none: true}}},
		{[]string{"auto=20M/100M"}, []spec{{rates: [2]bitrate.Rate{20 * mbit, 100 * mbit}}}},
		{[]string{"eth0=100M", "wwan0=1M/10M", "eth1"}, []spec{
			{device: "eth0", rates: [2]bitrate.Rate{100 * mbit, 100 * mbit}},
			{device: "wwan0", rates: [2]bitrate.Rate{mbit, 10 * mbit}}, {device: "eth1"},
		}},
	} {
		p, err := Config{Uplinks: c.words}.parse()
		if err != nil || !slices.Equal(p.uplinks, c.want) {
			t.Errorf("%q: %+v, %v; want %+v", c.words, p.uplinks, err, c.want)
		}
	}
}

func TestReservesAreRead(t *testing.T) {
	p, err := Config{Reserve: []string{"tcp/179", "udp/3784", "cgroup:/system.slice/bird.service"}, ReserveRate: "5%"}.parse()
	want := []model.Port{{Protocol: unix.IPPROTO_TCP, Number: 179}, {Protocol: unix.IPPROTO_UDP, Number: 3784}}
	if err != nil || !slices.Equal(p.ports, want) || !slices.Equal(p.cgroups, []string{"/system.slice/bird.service"}) {
		t.Errorf("got %+v, %v", p, err)
	}
	if got := p.reserve.of(20 * mbit); got != mbit {
		t.Errorf("5%% of 20M are %s", got)
	}
	if p, _ := (Config{ReserveRate: "2M"}).parse(); p.reserve.of(20*mbit) != 2*mbit {
		t.Errorf("got %+v", p)
	}
	if p, _ := (Config{}).parse(); p.reserve.of(20*mbit) != 0 {
		t.Errorf("got %+v", p)
	}
}

func TestWhatIsWrongIsSaidWithWhatIsRight(t *testing.T) {
	for _, c := range []struct {
		cfg  Config
		want string
	}{
		{Config{Uplinks: []string{"=10M"}}, "expected DEV=EGRESS[/INGRESS] such as eth0=20M/100M"},
		{Config{Uplinks: []string{"a/b"}}, "cannot be the name of a device"},
		{Config{Uplinks: []string{"a-device-of-16-ch"}}, "cannot be the name of a device"},
		{Config{Uplinks: []string{"eth0="}}, `--uplink: "eth0=": egress: bandwidth "" is not a quantity`},
		{Config{Uplinks: []string{"eth0=10M/fast"}}, `ingress: bandwidth "fast" is not a quantity`},
		{Config{Uplinks: []string{"eth0=10k"}}, "at least 100k"},
		{Config{Uplinks: []string{"lo=10M"}}, `"lo=10M": lo leads to nobody outside; name the device of the default route`},
		{Config{Uplinks: []string{"kedge0"}}, "leads to nobody outside"},
		{Config{Uplinks: []string{"kedge-out0=10M"}}, "leads to nobody outside"},
		{Config{Uplinks: []string{"10M"}}, `"10M" is a rate without a device: expected DEV=10M, or auto=10M`},
		{Config{Uplinks: []string{"none=10M"}}, "none has no rates"},
		{Config{Uplinks: []string{"none", "eth0"}}, "leave it or them out"},
		{Config{Uplinks: []string{"eth0", "eth0=1M"}}, `"eth0" is given twice`},
		{Config{Reserve: []string{"sctp/7"}}, `--uplink-reserve: "sctp/7": expected a port such as tcp/179`},
		{Config{Reserve: []string{"tcp/70000"}}, "expected a port"},
		{Config{Reserve: []string{"cgroup:bird"}}, "expected a path below the root"},
		{Config{ReserveRate: "60%"}, "--uplink-reserve-rate: \"60%\": expected 0.1% to 50%"},
		{Config{ReserveRate: "NaN%"}, "expected 0.1% to 50%"},
		{Config{ReserveRate: "much"}, "or a share such as 5%"},
	} {
		if err := c.cfg.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.cfg, err, c.want)
		}
	}
	if err := (Config{Uplinks: []string{"=", "eth0=1"}, Reserve: []string{"x"}, ReserveRate: "y"}).Validate(); strings.Count(err.Error(), "\n") != 3 {
		t.Errorf("not all problems are told: %v", err)
	}
}

func TestOnlyPortsOfHardwareHaveASpeed(t *testing.T) {
	sys := fstest.MapFS{
		"class/net/eth0/device/uevent": {}, "class/net/eth0/speed": {Data: []byte("2500\n")},
		"class/net/virtio/device/uevent": {}, "class/net/virtio/speed": {Data: []byte("-1\n")},
		"class/net/radio/device/uevent": {},
		"class/net/tap0/speed":          {Data: []byte("10000\n")},
	}
	for device, want := range map[string]bitrate.Rate{"eth0": 2500 * mbit, "virtio": 0, "radio": 0, "tap0": 0, "gone": 0} {
		if got := portSpeed(sys, device); got != want {
			t.Errorf("%s: %s, want %s", device, got, want)
		}
	}
}

// The rates that somebody has told are not lost because "auto" finds the same device.
func TestAutoGivesWayToTheDeviceItself(t *testing.T) {
	told := spec{device: "eth0", rates: [2]bitrate.Rate{mbit, 2 * mbit}}
	want := []model.Uplink{{Device: "eth0", Rates: told.rates}}
	for _, all := range [][]spec{{{}, told}, {told, {}}} {
		if got := named(all, "eth0"); !slices.EqualFunc(got, want, func(a, b model.Uplink) bool { return a.Device == b.Device && a.Rates == b.Rates }) {
			t.Errorf("%+v: %+v, want %+v", all, got, want)
		}
	}
	if got := named([]spec{{}, told}, "eth1"); len(got) != 2 || got[0].Device != "eth1" || got[1].Device != "eth0" {
		t.Errorf("got %+v, want both", got)
	}
	if got := named([]spec{{none: true}}, "eth0"); len(got) != 1 || got[0].Device != "" {
		t.Errorf("got %+v, want none", got)
	}
}

func TestAPulledCableIsNoOtherUplink(t *testing.T) {
	var m memory
	there := func(index int) bool { return index == 2 }
	for i, c := range []struct{ route, want int }{{0, 0}, {2, 2}, {0, 2}, {3, 3}, {0, 0}, {0, 0}} {
		if got := m.device(c.route, there); got != c.want {
			t.Errorf("step %d: device %d, want %d", i, got, c.want)
		}
	}
	for i, c := range []struct {
		now     bitrate.Rate
		carrier bool
		want    bitrate.Rate
	}{{0, false, 0}, {1000 * mbit, true, 1000 * mbit}, {0, false, 1000 * mbit}, {100 * mbit, true, 100 * mbit}, {0, true, 0}, {0, false, 0}} {
		if got := m.speed(2, c.now, c.carrier); got != c.want {
			t.Errorf("step %d: speed %s, want %s", i, got, c.want)
		}
	}
}

// FuzzConfig: no word makes the parser fall, and rates are in range.
func FuzzConfig(f *testing.F) {
	f.Add("eth0=10M/20M", "tcp/179", "5%")
	f.Add("auto", "cgroup:/a", "2M")
	f.Fuzz(func(t *testing.T, uplink, reserve, rate string) {
		p, err := Config{Uplinks: []string{uplink}, Reserve: []string{reserve}, ReserveRate: rate}.parse()
		if err != nil {
			return
		}
		for _, r := range p.uplinks[0].rates {
			if r != 0 && r < slowest {
				t.Fatalf("%q is %+v", uplink, p.uplinks)
			}
		}
		if p.reserve.of(100*mbit) > 50*mbit && p.reserve.fixed == 0 {
			t.Fatalf("%q is %+v", rate, p.reserve)
		}
	})
}
