package preflight

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"github.com/kedge-io/kedge/edgefw/apply/conntrack"
	"github.com/kedge-io/kedge/edgefw/apply/ipset"
	"github.com/kedge-io/kedge/edgefw/apply/nflog"
	"github.com/kedge-io/kedge/edgefw/apply/render"
	"github.com/kedge-io/kedge/internal/finding"
)

// feature is something of nftables or iptables that can be missing alone.
type feature struct {
	// name is for people, module what usually has it.
	name, module string
	rule         string
}

// nftRules are one rule for each part of the kernel that the tables of kube-proxy
// (pkg/proxy/nftables/proxier.go), of the pod network (agent/network/ruleset.go), of
// cluster DNS and of host ports need.
var nftRules = []feature{
	{"counters", "nf_tables", "add rule inet kedge-try c counter"},
	{"connection states", "nft_ct", "add rule inet kedge-try c ct state established,related accept"},
	{"translated connections", "nft_ct", "add rule inet kedge-try c ct status dnat accept"},
	{"sets", "nf_tables", "add set inet kedge-try s { type inet_proto . inet_service; elements = { tcp . 80 } ; }"},
	{"sets of several keys", "nf_tables", "add rule inet kedge-try c meta l4proto . th dport @s accept"},
	{"verdict maps", "nf_tables", "add map inet kedge-try m { type ipv4_addr . inet_proto . inet_service : verdict ; }"},
	{"dynamic sets with a time-out", "nf_tables", "add set inet kedge-try a { type ipv4_addr ; flags dynamic,timeout ; timeout 10s ; }"},
	{"updates of sets by packets", "nf_tables", "add rule inet kedge-try c update @a { ip saddr }"},
	{"local addresses (fib)", "nft_fib_inet", "add rule inet kedge-try c fib daddr type local accept"},
	{"random choices (numgen)", "nft_numgen", "add rule inet kedge-try c numgen random mod 2 vmap { 0 : accept, 1 : accept }"},
	{"reject", "nft_reject_inet", "add rule inet kedge-try c reject"},
	{"marks", "nf_tables", "add rule inet kedge-try c meta mark set meta mark or 0x4000"},
	{"destination NAT", "nft_nat", "add rule inet kedge-try pre ip daddr 192.0.2.1 dnat ip to 192.0.2.2"},
	{"source NAT", "nft_nat", "add rule inet kedge-try post ip daddr 192.0.2.1 snat ip to 192.0.2.2 fully-random"},
	{"masquerading", "nft_masq", "add rule inet kedge-try post masquerade fully-random"},
	{"untracked packets", "nft_ct", "add rule inet kedge-try raw notrack"},
}

const nftBase = `add table inet kedge-try
add chain inet kedge-try c { type filter hook forward priority filter ; }
add chain inet kedge-try raw { type filter hook prerouting priority raw ; }
add chain inet kedge-try pre { type nat hook prerouting priority dstnat ; }
add chain inet kedge-try post { type nat hook postrouting priority srcnat ; }
`

// nftables tries all rules at once, and where that fails one after the other.
func (m *machine) nftables(ctx context.Context) []finding.Finding {
	path, err := m.probe.LookPath("nft")
	if !m.root() || err != nil {
		return nil // both are said elsewhere
	}
	var text strings.Builder
	text.WriteString(nftBase)
	for _, f := range nftRules {
		text.WriteString(f.rule + "\n")
	}
	var lacks []string
	err = apart(func() error {
		if feed(ctx, text.String(), path, "-f", "-") == nil {
			return nil
		}
		if err := feed(ctx, nftBase, path, "-f", "-"); err != nil {
			return err
		}
		lacks = each(ctx, nftRules, func(f feature) error { return feed(ctx, f.rule, path, "-f", "-") })
		return nil
	})
	switch {
	case ctx.Err() != nil:
		return one(finding.Probe, finding.Warning, "nft did not end within %s", kernelLimit)
	case err != nil:
		return one(finding.NFTFeatures, finding.Error, "nft cannot make a table: %v", err)
	case len(lacks) > 0:
		return one(finding.NFTFeatures, finding.Error, "nftables lacks %s", strings.Join(lacks, "; "))
	}
	return one(finding.NFTFeatures, finding.OK, "nftables has all that services and the pod network need")
}

// each tries features alone and returns what is missing, with the module.
func each(ctx context.Context, all []feature, try func(feature) error) []string {
	var lacks []string
	for _, f := range all {
		if ctx.Err() != nil {
			return append(lacks, "(the rest was not tried)")
		}
		if err := try(f); err != nil {
			lacks = append(lacks, fmt.Sprintf("%s (modprobe %s): %v", f.name, f.module, err))
		}
	}
	return lacks
}

// iptRules are one rule for each match and target of the firewall
// (edgefw/apply/render).
var iptRules = []feature{
	{"comments", "xt_comment", `-m comment --comment "kedge"`},
	{"connection states", "xt_conntrack", "-m conntrack --ctstate RELATED,ESTABLISHED"},
	{"types of addresses", "xt_addrtype", "-m addrtype --dst-type LOCAL"},
	{"marks", "xt_mark", "-m mark --mark 0x1"},
	{"marks of connections", "xt_connmark", "-m connmark --mark 0x1"},
	{"lists of ports", "xt_multiport", "-p tcp -m multiport --dports 1,2"},
	{"TCP flags", "xt_tcpudp", "-p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN"},
	{"rates", "xt_limit", "-m limit --limit 5/sec --limit-burst 10"},
	{"rates for each source", "xt_hashlimit", "-m hashlimit --hashlimit-above 5/sec --hashlimit-burst 5 --hashlimit-mode srcip --hashlimit-name kedge-try"},
	{"numbers of connections", "xt_connlimit", "-m connlimit --connlimit-above 5 --connlimit-mask 32 --connlimit-saddr"},
	{"sets", "xt_set", "-m set --match-set kedge-try src"},
	{"setting marks", "xt_mark", "-j MARK --set-xmark 0x1/0xffffffff"},
	{"setting marks of connections", "xt_connmark", "-j CONNMARK --set-xmark 0x1/0xffffffff"},
	{"the log", "xt_NFLOG", `-j NFLOG --nflog-prefix "kedge" --nflog-group 107`},
}

// iptables tries the firewall's matches in the table where they are used.
func (m *machine) iptables(ctx context.Context) []finding.Finding {
	path, err := m.probe.LookPath("iptables-restore")
	if !m.root() || err != nil {
		return nil
	}
	table := func(rules ...feature) string {
		var b strings.Builder
		b.WriteString("*mangle\n:KEDGE-TRY - [0:0]\n")
		for _, f := range rules {
			b.WriteString("-A KEDGE-TRY " + f.rule + "\n")
		}
		return b.String() + "COMMIT\n"
	}
	restore := func(text string) error { return feed(ctx, text, path, "--noflush", "-w", "2") }
	var lacks []string
	err = apart(func() error {
		_ = makeSet("kedge-try") // where it cannot be made the match says so
		if restore(table(iptRules...)) == nil {
			return nil
		}
		if err := restore(table()); err != nil {
			return err
		}
		lacks = each(ctx, iptRules, func(f feature) error { return restore(table(f)) })
		return nil
	})
	switch {
	case ctx.Err() != nil:
		return one(finding.Probe, finding.Warning, "iptables-restore did not end within %s", kernelLimit)
	case err != nil:
		return one(finding.IPTMatches, finding.Warning, "iptables cannot make a chain in table mangle: %v", err)
	case len(lacks) > 0:
		return one(finding.IPTMatches, finding.Warning, "iptables lacks %s", strings.Join(lacks, "; "))
	}
	return one(finding.IPTMatches, finding.OK, "iptables has all matches of the firewall")
}

func makeSet(name string) error {
	h, err := ipset.Open()
	if err != nil {
		return err
	}
	defer func() { _ = h.Close() }()
	return h.Create(ipset.Spec{Name: name, Kind: ipset.Nets})
}

// netfilter tries what the firewall asks the kernel itself.
func (m *machine) netfilter(context.Context) []finding.Finding {
	if !m.root() {
		return nil
	}
	return []finding.Finding{
		tried(finding.IPSets, finding.Warning, "sets of the kernel can be made", tryIPSet),
		tried(finding.Conntrack, finding.Info, "connections can be listed", func() error {
			t, err := conntrack.Open()
			if err != nil {
				return err
			}
			_, err = t.Flows()
			return errors.Join(err, t.Close())
		}),
		tried(finding.NFLog, finding.Info, "the log of rules can be read", func() error {
			r, err := nflog.Open(render.LogGroup)
			if err != nil {
				return err
			}
			over, cancel := context.WithCancel(context.Background())
			cancel()
			_ = r.Run(over, func(nflog.Packet) {}) // which closes it
			return nil
		}),
		tried(finding.SockDestroy, finding.Info, "connections of the host can be ended", tryDestroy),
	}
}

func tryIPSet() error {
	h, err := ipset.Open()
	if err != nil {
		return err
	}
	defer func() { _ = h.Close() }()
	if err := h.Supported(); err != nil {
		return err
	}
	return makeSet("kedge-try")
}

// feed runs a program of the host in the namespaces of this thread.
func feed(ctx context.Context, input, path string, args ...string) error {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdin = strings.NewReader(input)
	var complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &complaints, &complaints
	if err := cmd.Run(); err != nil {
		line, _, _ := strings.Cut(strings.TrimSpace(complaints.String()), "\n")
		return fmt.Errorf("%w: %.200s", err, line)
	}
	return nil
}
