//go:build namespace

package apply_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kedge-io/kedge/edgefw/apply"
	"github.com/kedge-io/kedge/edgefw/model"
)

// neighbours are files of testdata/foreign: rules as ufw, firewalld, Docker and
// kube-proxy make them, for iptables-restore or nft.
func neighbours(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/foreign/*")
	if err != nil || len(files) < 4 {
		t.Fatal(files, err)
	}
	return files
}

func TestRulesOfOthersStayAsTheyAre(t *testing.T) {
	each(t, func(t *testing.T, b *bed) {
		for _, file := range neighbours(t) {
			b.load(file)
		}
		before := b.others()
		for _, word := range []string{"ufw-user-input", "TTL-OF-MINE", "dport { 22, 80 }", "mark-for-masquerade", "--to-destination 192.0.2.1:8000"} {
			if !strings.Contains(before, word) {
				t.Fatalf("%q is not among rules of others:\n%s", word, before)
			}
		}
		same := func(after string) {
			t.Helper()
			if now := b.others(); now != before {
				t.Errorf("%s changed rules of others: %s", after, difference(now, before))
			}
		}
		for n := range revisions {
			b.apply(revision(n))
			same("a revision")
		}
		b.node.Run("iptables-" + string(b.which) + " -t mangle -F KEDGE-FW-PRE")
		if r := b.apply(revision(revisions - 1)); r.Way != apply.Generation {
			t.Errorf("what was flushed was made anew by %q", r.Way)
		}
		same("making it anew")
		b.apply(apply.Wish{Ruleset: &model.Ruleset{}})
		same("a wish for nothing")
		b.apply(revision(0))
		if err := b.kernel.Remove(context.Background()); err != nil {
			t.Error(err)
		}
		same("Remove")
	})
}

func TestBothFirewallsMustAgree(t *testing.T) {
	each(t, func(t *testing.T, b *bed) {
		b.answer("80")
		b.answer("81")
		b.load("testdata/foreign/ufw.iptables") // lets port 80 in
		b.expect(stranger4, node4, "80", "open")
		b.expect(stranger4, node4, "81", "silent")
		w := friends(friend4)
		w.Ruleset.Host.Ingress.Rules[0].Ports = []model.PortRange{{First: 80, Last: 81}}
		b.apply(w)
		b.expect(friend4, node4, "80", "open")
		b.expect(friend4, node4, "81", "silent") // the other one closes it
		b.expect(stranger4, node4, "80", "silent")
	})
}

func TestRulesMeanThePortThatTheClientUsed(t *testing.T) {
	each(t, func(t *testing.T, b *bed) {
		b.answer("8000")
		b.load("testdata/foreign/docker.iptables") // redirects port 80 to 8000
		b.expect(stranger4, node4, "80", "open")
		b.apply(friends(friend4))
		b.expect(friend4, node4, "80", "open")
		b.expect(stranger4, node4, "80", "silent")
		b.expect(friend4, node4, "8000", "silent") // nobody allowed that one
	})
}

func TestJumpOfOthersToOurChainStopsNobody(t *testing.T) {
	each(t, func(t *testing.T, b *bed) {
		b.answer("80")
		b.apply(friends(friend4))
		iptables := "iptables-" + string(b.which) + " -t mangle "
		b.node.Run(iptables + "-N FOREIGN; " + iptables + "-A FOREIGN -j KEDGE-FW-A-HI")
		t.Cleanup(func() { b.node.Run(iptables + "-F FOREIGN; " + iptables + "-X FOREIGN") })
		w := friends(stranger4)
		for _, from := range []string{"somebody", "somebody else", "a third one"} {
			w.Ruleset.Host.Ingress.DefaultFrom = from
			if r := b.apply(w); r.Way != apply.Generation {
				t.Errorf("the way was %q", r.Way)
			}
			b.expect(stranger4, node4, "80", "open")
			b.expect(friend4, node4, "80", "silent")
		}
	})
}

// load gives the kernel the rules of a file until the test ends.
func (b *bed) load(file string) {
	b.t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		b.t.Fatal(err)
	}
	command, clean := "nft -f -", "nft flush ruleset"
	if strings.HasSuffix(file, ".iptables") {
		command = "iptables-" + string(b.which) + "-restore --noflush"
		clean = "for t in filter nat mangle; do iptables-" + string(b.which) + " -t $t -F; iptables-" + string(b.which) + " -t $t -X; done; iptables-" + string(b.which) + " -P INPUT ACCEPT; iptables-" + string(b.which) + " -P FORWARD ACCEPT"
	}
	b.node.Run(command + " <<'END'\n" + string(text) + "\nEND")
	b.t.Cleanup(func() {
		if err := apply.RemoveAll(context.Background()); err != nil {
			b.t.Error(err)
		}
		b.node.Run(clean)
	})
}

// others is all that is in the kernel and not ours: of iptables and of nftables.
func (b *bed) others() string {
	b.t.Helper()
	text := b.node.Run("iptables-" + string(b.which) + "-save 2>/dev/null; for t in $(nft list tables | grep -v ' ip6* \\(mangle\\|filter\\|nat\\|raw\\|security\\)$' | awk '{print $2\":\"$3}'); do nft -s list table ${t%:*} ${t#*:}; done")
	lines := strings.Split(stripped(text), "\n")
	lines = slices.DeleteFunc(lines, func(line string) bool { return strings.Contains(line, "KEDGE-FW") })
	return strings.Join(lines, "\n")
}
