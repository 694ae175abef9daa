//go:build namespace

package uplink

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"go.uber.org/goleak"

	"github.com/kedge-io/kedge/agent/bandwidth/model"
	"github.com/kedge-io/kedge/internal/bitrate"
	"github.com/kedge-io/kedge/tests/nethost"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// host runs a watcher in a namespace with two uplinks; until waits for what it
// is to know. All runs on one thread, that of the namespace.
func host(t *testing.T, cfg Config, then func(h *nethost.Host, w *Watcher, until func(what string, ok func([]model.Uplink, error) bool))) {
	h, far := nethost.New(t), nethost.New(t)
	nethost.Cable(h, "eth0", far, "far0")
	nethost.Cable(h, "eth1", far, "far1")
	h.Run("ip addr add 192.0.2.1/24 dev eth0; ip addr add 198.51.100.1/24 dev eth1; ip route add default via 192.0.2.2 metric 100")
	w, err := New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	w.sys = fstest.MapFS{"class/net/eth0/device/uevent": {}, "class/net/eth0/speed": {Data: []byte("1000\n")}}
	w.identify = func(string) (uint64, error) { return 0, errors.New("no such folder") }
	changed := w.Subscribe()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.Do(func() {
			if err := w.Run(ctx); err != nil {
				t.Error(err)
			}
		})
	}()
	defer func() { cancel(); <-done }()
	until := func(what string, ok func([]model.Uplink, error) bool) {
		t.Helper()
		deadline := time.After(10 * time.Second)
		for {
			select {
			case <-changed:
			case <-deadline:
				u, _, err := w.Now()
				t.Fatalf("%s: %+v, %v", what, u, err)
			}
			if u, _, err := w.Now(); ok(u, err) {
				return
			}
		}
	}
	then(h, w, until)
}

func TestTheUplinkIsThatOfTheDefaultRoute(t *testing.T) {
	host(t, Config{}, func(h *nethost.Host, _ *Watcher, until func(string, func([]model.Uplink, error) bool)) {
		is := func(device string, rate bitrate.Rate) func([]model.Uplink, error) bool {
			return func(u []model.Uplink, err error) bool {
				return err == nil && len(u) == 1 && u[0].Device == device && (u[0].Index > 0) == (device != "") && u[0].Rates[0] == rate
			}
		}
		until("at the start", is("eth0", 1000*mbit))
		h.Run("ip route add default via 198.51.100.2 metric 50")
		until("a better route", is("eth1", 0))
		h.Run("ip link set eth1 down; ip link set eth1 name wan0; ip link set wan0 up; ip route add default via 198.51.100.2 metric 50")
		until("renamed", is("wan0", 0))
		h.Run("ip link del wan0")
		until("gone", is("eth0", 1000*mbit))
		// A cable that is pulled takes the route with it, and nothing changes.
		h.Run("ip link set eth0 down; ip link set eth0 up; ip link set eth0 down; ip link set eth0 name lan0")
		until("still the uplink without a route", func(u []model.Uplink, _ error) bool { return u[0].Device == "lan0" })
		h.Run("ip link del lan0")
		until("no uplink", is("", 0))
	})
}

func TestANamedUplinkGoesAndComesBack(t *testing.T) {
	cfg := Config{Uplinks: []string{"eth1=10M", "eth0=20M/100M"}, ReserveRate: "10%", Reserve: []string{"cgroup:/bird"}}
	host(t, cfg, func(h *nethost.Host, w *Watcher, until func(string, func([]model.Uplink, error) bool)) {
		until("at the start", func(u []model.Uplink, err error) bool {
			return len(u) == 2 && u[0].Device == "eth0" && u[0].Reserve == [2]bitrate.Rate{2 * mbit, 10 * mbit} && u[1].Device == "eth1" && u[1].Index > 0
		})
		if _, _, err := w.Now(); err == nil || !strings.Contains(err.Error(), "--uplink-reserve cgroup:/bird: no such folder") {
			t.Errorf("the reserve: %v", err)
		}
		h.Run("ip link set eth1 down; ip link set eth1 name other")
		until("renamed", func(u []model.Uplink, err error) bool {
			return u[1].Index == 0 && u[1].Rates[0] == 10*mbit && strings.Contains(err.Error(), "uplink eth1: there is no such device")
		})
		h.Run("ip link set other name eth1")
		until("back", func(u []model.Uplink, _ error) bool { return u[1].Index > 0 })
	})
}

func TestDevicesThatCannotBeUplinksAreLeftOut(t *testing.T) {
	cfg := Config{Uplinks: []string{"eth0=20M", "port0=10M", "auto=5M", "queue0=1M", "loop0=1M"}}
	host(t, cfg, func(h *nethost.Host, w *Watcher, until func(string, func([]model.Uplink, error) bool)) {
		h.Run("ip link property add dev eth0 altname port0; ip link add queue0 type ifb; ip link property add dev lo altname loop0; ip link set queue0 up")
		until("other names of one device, and what leads nowhere", func(u []model.Uplink, err error) bool {
			if err == nil || len(u) != 3 {
				return false
			}
			for _, part := range []string{"uplink port0 is the same device as eth0", "uplink queue0 leads to nobody", "uplink loop0 leads to nobody"} {
				if !strings.Contains(err.Error(), part) {
					return false
				}
			}
			return u[0].Rates[0] == 20*mbit && u[1].Index == 0 && u[2].Index == 0
		})
	})
}
