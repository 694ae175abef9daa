//go:build namespace

package apply_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kedge-io/kedge/edgefw/apply"
	"github.com/kedge-io/kedge/edgefw/model"
)

// within is the deadline for what is to happen in a second on an idle machine.
const within = 10 * time.Second

func TestWhatOthersFlushIsMadeAnew(t *testing.T) {
	flushes := []string{
		"IPT -F",
		"IPT -t mangle -F",
		"IPT -t mangle -F; IPT -t mangle -X",
		"IPT -t mangle -D PREROUTING 1",
		"IPT -t mangle -F KEDGE-FW-PRE",
		"nft flush ruleset",
		"nft delete table ip mangle; nft delete table ip6 mangle",
		"IPT-save | grep -v KEDGE | IPT-restore",
	}
	each(t, func(t *testing.T, b *bed) {
		b.answer("80")
		b.answer("81")
		w := friends(friend4, friend6)
		w.Ruleset.Host.Ingress.Default = model.Reject
		w.Ruleset.Host.Ingress.Rules[0].Connections = &model.ConnectionLimit{Max: 10, Per: model.PerSource}
		b.apply(w)
		b.watch()
		for _, command := range flushes {
			if b.which == apply.Legacy && command[:3] == "nft" {
				continue // not about its rules
			}
			b.node.Run(spelled(command, b.which))
			b.mended(command)
			b.expect(friend4, node4, "80", "open")
			b.expect(stranger4, node4, "80", "refused")
			b.expect(stranger6, node6, "80", "refused")
		}
	})
}

func TestRulesOfOthersAreNoReasonToAct(t *testing.T) {
	each(t, func(t *testing.T, b *bed) {
		b.apply(friends(friend4))
		b.watch()
		iptables := "iptables-" + string(b.which)
		b.node.Run(iptables + " -A FORWARD -s 203.0.113.9 -j DROP; " + iptables + " -D FORWARD 1")
		b.node.Run(iptables + " -t mangle -D PREROUTING -j KEDGE-FW-PRE")
		b.mended("our own jump") // after the two others were seen
		if rules := b.rules(); !strings.Contains(rules, "-j KEDGE-FW-B-PRE") {
			t.Errorf("the generation after A is to be B:\n%s", rules)
		}
	})
}

func TestNothingToEnforceMakesNoTables(t *testing.T) {
	// Tables that were made stay until the namespace goes: this needs a new one.
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), idle+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v; the kernel has tables of iptables-legacy: %s", err, out)
	}
}

// idle tells the test binary to enforce nothing and to print which tables of
// iptables-legacy the kernel has then.
const idle = "KEDGE_TEST_APPLY_IDLE"

func enforceNothing() error {
	k, err := apply.New(apply.Config{Variant: apply.Legacy, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- k.Watch(ctx, func() {}) }()
	for range 3 {
		if _, err := k.Apply(ctx, apply.Wish{Ruleset: &model.Ruleset{}, Facts: facts()}); err != nil {
			return err
		}
	}
	cancel()
	for _, file := range []string{"ip_tables_names", "ip6_tables_names"} {
		text, err := os.ReadFile("/proc/thread-self/net/" + file)
		if err != nil {
			return err
		}
		fmt.Print(string(text))
	}
	return <-ended
}

// watch watches until the test ends.
func (b *bed) watch() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.kernel.Watch(ctx, func() {}) }()
	b.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			b.t.Error(err)
		}
	})
}

// mended waits until the kernel is as wished.
func (b *bed) mended(after string) {
	b.t.Helper()
	tick, late := time.NewTicker(20*time.Millisecond), time.After(within)
	defer tick.Stop()
	for {
		o, err := b.kernel.Observe(context.Background())
		if err == nil && o.Equal {
			return
		}
		select {
		case <-tick.C:
		case <-late:
			b.t.Fatalf("nothing was made anew after %s: %+v, %v", after, o, err)
		}
	}
}

func spelled(command string, v apply.Variant) string {
	return strings.NewReplacer("IPT-save", "iptables-"+string(v)+"-save", "IPT-restore", "iptables-"+string(v)+"-restore",
		"IPT ", "iptables-"+string(v)+" ").Replace(command)
}
