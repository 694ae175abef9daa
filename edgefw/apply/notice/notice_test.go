//go:build namespace

package notice

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kedge-io/kedge/tests/nethost"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// watched is a host whose rules are watched until the test ends.
type watched struct {
	*nethost.Host
	watcher *Watcher
	heard   chan []Change
}

var ours = []string{"mangle", "filter"}

func watch(t *testing.T, legacy bool) *watched {
	t.Helper()
	w := &watched{Host: nethost.New(t), heard: make(chan []Change, 1000)}
	variant := "nft"
	if legacy {
		variant = "legacy"
	}
	// The program's name is iptables, as on a machine with one variant.
	w.Run("for f in iptables ip6tables; do $f-" + variant + " -t mangle -N KEDGE-FW; $f-" + variant + " -t mangle -A INPUT -j KEDGE-FW; done")
	w.Do(func() {
		var err error
		if w.watcher, err = Open(Config{Legacy: legacy, Tables: ours, Interval: 10 * time.Millisecond}); err != nil {
			t.Error(err)
		}
	})
	if w.watcher == nil {
		t.FailNow()
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- w.watcher.Run(ctx, func(list []Change) { w.heard <- list }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return w
}

// expect waits for a change.
func (w *watched) expect(want func(Change) bool) {
	w.T.Helper()
	deadline := time.After(10 * time.Second)
	var all []Change
	for {
		select {
		case list := <-w.heard:
			if slices.ContainsFunc(list, want) {
				return
			}
			all = append(all, list...)
		case <-deadline:
			w.T.Fatalf("the change was not told in 10 s, only %+v", all)
		}
	}
}

// silence makes sure that nothing was told up to now: a change that is sure to
// be told is the only one.
func (w *watched) silence(iptables string) {
	w.T.Helper()
	w.Run(iptables + " -t filter -N MARKER")
	select {
	case list := <-w.heard:
		for _, c := range list {
			if c.Table != "filter" {
				w.T.Errorf("told of %+v", c)
			}
		}
	case <-time.After(10 * time.Second):
		w.T.Error("nothing was told in 10 s")
	}
}

func variants(t *testing.T, f func(t *testing.T, w *watched, suffix string)) {
	for _, legacy := range []bool{true, false} {
		suffix := map[bool]string{true: "legacy", false: "nft"}[legacy]
		t.Run(suffix, func(t *testing.T) { f(t, watch(t, legacy), "-"+suffix) })
	}
}

func TestFlushesAreTold(t *testing.T) {
	variants(t, func(_ *testing.T, w *watched, suffix string) {
		w.Run("iptables" + suffix + " -t mangle -F")
		w.expect(func(c Change) bool { return c.Table == "mangle" && !c.IPv6 })
		w.Run("ip6tables" + suffix + " -t mangle -F INPUT")
		w.expect(func(c Change) bool { return c.Table == "mangle" && c.IPv6 })
		w.Run("iptables" + suffix + " -t mangle -I INPUT -j ACCEPT")
		w.expect(func(c Change) bool { return c.Table == "mangle" && !c.IPv6 })
	})
}

func TestFlushOfAllTablesOfNFTIsTold(t *testing.T) {
	w := watch(t, false)
	w.Run("nft flush ruleset")
	w.expect(func(c Change) bool { return c == Change{Table: "mangle", Chain: "INPUT", By: "nft"} })
}

func TestChangesElsewhereAreNotTold(t *testing.T) {
	variants(t, func(_ *testing.T, w *watched, suffix string) {
		w.Run("nft add table ip kube-proxy; nft add chain ip kube-proxy services; nft add rule ip kube-proxy services drop")
		w.Run("iptables" + suffix + " -t nat -N DOCKER")
		w.silence("iptables" + suffix)
	})
}

func TestOwnChangesAreNotTold(t *testing.T) {
	variants(t, func(t *testing.T, w *watched, suffix string) {
		for i := range 20 {
			err := w.watcher.Own(func() error {
				w.Run(fmt.Sprintf("iptables%[1]s -t mangle -N OWN%[2]d; ip6tables%[1]s-restore --noflush <<END\n*mangle\n:OWN%[2]d -\n-A OWN%[2]d -j DROP\nCOMMIT\nEND", suffix, i))
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		w.silence("iptables" + suffix)
		w.Run("iptables" + suffix + " -t mangle -F")
		w.expect(func(c Change) bool { return c.Table == "mangle" })
		broken := errors.New("broken")
		if err := w.watcher.Own(func() error { return broken }); !errors.Is(err, broken) {
			t.Errorf("Own returned %v", err)
		}
	})
}

func TestOwnChangesAreMadeAfterTheEnd(t *testing.T) {
	for _, legacy := range []bool{true, false} {
		w := watch(t, legacy)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		second := w.watcher
		w.Do(func() {
			var err error
			if second, err = Open(Config{Legacy: legacy, Tables: ours}); err != nil {
				t.Error(err)
			}
		})
		if err := second.Run(ctx, func([]Change) {}); err != nil {
			t.Error(err)
		}
		made := false
		if err := second.Own(func() error { made = true; return nil }); err != nil || !made {
			t.Errorf("legacy %v: made %v, %v", legacy, made, err)
		}
	}
}

func TestOthersAreToldOfDuringOwnChanges(t *testing.T) {
	w := watch(t, false)
	if err := w.watcher.Own(func() error {
		w.Run("iptables-nft -t mangle -N OWN")
		w.Run("nft flush ruleset")
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	w.expect(func(c Change) bool { return c.By == "nft" && c.Table == "mangle" })
}

func TestStormsAreGathered(t *testing.T) {
	w := watch(t, false)
	// Twenty transactions of two rules, one after the other, within one process.
	w.Run(`{ for i in $(seq 20); do echo "*mangle"; echo "-A INPUT -j ACCEPT"; echo "-A OUTPUT -j ACCEPT"; echo COMMIT; done; } | iptables-nft-restore --noflush`)
	w.Run("iptables-nft -t filter -N LAST")
	times := 0
	for last := false; !last; times++ {
		select {
		case list := <-w.heard:
			last = slices.ContainsFunc(list, func(c Change) bool { return c.Chain == "LAST" })
			if len(list) > 4 {
				t.Errorf("told with repetitions: %+v", list)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("the last change was not told in 10 s")
		}
	}
	if times > 10 {
		t.Errorf("21 transactions were told %d times", times)
	}
}
