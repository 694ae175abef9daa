package preflight

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/kedge-io/kedge/internal/finding"
)

// walls is what other firewalls have in the kernel, as text.
type walls struct {
	// chains are nft's, with their hooks and policies.
	chains string
	// filter and nat are the rules of iptables by variant, as -S prints them.
	filter, nat map[string]string
}

// firewalls looks for the rules of others. A table of the legacy variant is not
// asked for where the kernel has none: asking would make it.
func (m *machine) firewalls(ctx context.Context) []finding.Finding {
	if !m.root() {
		return nil
	}
	w := walls{filter: map[string]string{}, nat: map[string]string{}}
	w.chains, _ = m.program(ctx, "nft", "list", "chains")
	legacy := strings.Fields(m.text("proc/net/ip_tables_names"))
	for _, table := range []struct {
		name string
		into map[string]string
	}{{"filter", w.filter}, {"nat", w.nat}} {
		if slices.Contains(legacy, table.name) {
			table.into["legacy"], _ = m.program(ctx, "iptables-legacy", "-w", "2", "-t", table.name, "-S")
		}
		if strings.Contains(w.chains, "table ip "+table.name+" {") {
			table.into["nft"], _ = m.program(ctx, "iptables-nft", "-w", "2", "-t", table.name, "-S")
		}
	}
	return judgeWalls(w, m.cfg)
}

// judgeWalls is pure.
func judgeWalls(w walls, cfg Config) []finding.Finding {
	var out []finding.Finding
	if both := rulesOf(w.filter["legacy"]) > 0 && rulesOf(w.filter["nft"]) > 0; both {
		out = append(out, finding.New(finding.Variants, finding.Warning, "table filter has %d rules of iptables-legacy and %d of iptables-nft", rulesOf(w.filter["legacy"]), rulesOf(w.filter["nft"])))
	}
	all := w.filter["legacy"] + w.filter["nft"]
	ufw := strings.Contains(all, "-N ufw-user-input") && strings.Contains(all, "-P INPUT DROP")
	firewalld := strings.Contains(w.chains, "table inet firewalld {") || strings.Contains(all, "-N FWDI_")
	switch {
	case ufw:
		out = append(out, finding.New(finding.UFW, judgeUFW(all, cfg), "ufw is active"))
	case firewalld:
		out = append(out, finding.New(finding.Firewalld, finding.Warning, "firewalld is active"))
	case strings.Contains(all, "-P INPUT DROP"):
		out = append(out, finding.New(finding.DropInput, finding.Warning, "iptables drops what comes in (policy of INPUT)"))
	case strings.Contains(all, "-P FORWARD DROP") && cfg.Node:
		out = append(out, finding.New(finding.DropForward, finding.Info, "iptables drops what is forwarded (policy of FORWARD)"))
	}
	for _, c := range dropping(w.chains) {
		if ufw || firewalld && strings.HasPrefix(c.table, "inet firewalld") || strings.HasPrefix(c.table, "ip filter") || strings.HasPrefix(c.table, "ip6 filter") {
			continue // said above
		}
		id := finding.DropInput
		if c.hook == "forward" {
			id = finding.DropForward
		}
		out = append(out, finding.New(id, finding.Warning, "nftables table %s drops what comes to its hook %s (chain %s)", c.table, c.hook, c.chain))
	}
	nat := w.nat["legacy"] + w.nat["nft"]
	for _, left := range []string{"KUBE-SERVICES", "CNI-HOSTPORT-DNAT", "FLANNEL-POSTRTG", "cali-PREROUTING"} {
		if strings.Contains(nat, "-N "+left) {
			out = append(out, finding.New(finding.OtherKube, finding.Warning, "table nat of iptables has the chain %s of another Kubernetes or network plugin", left))
			break
		}
	}
	if len(out) == 0 {
		return one(finding.DropInput, finding.OK, "no foreign firewall drops by default")
	}
	return out
}

// judgeUFW is content where somebody has let kedge in already.
func judgeUFW(rules string, cfg Config) finding.Severity {
	let := func(match string) bool {
		for line := range strings.Lines(rules) {
			if strings.HasPrefix(line, "-A ufw-user-input ") && strings.Contains(line, match) && strings.Contains(line, "-j ACCEPT") {
				return true
			}
		}
		return false
	}
	open := !cfg.Node || let("-i kedge0 ")
	if cfg.Server {
		open = open && let(fmt.Sprintf("--dport %d ", cfg.Port))
	}
	return grade(!open, finding.Warning)
}

// rulesOf counts rules that are not kedge's.
func rulesOf(text string) int {
	n := 0
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "-A ") && !strings.Contains(line, "KEDGE-") {
			n++
		}
	}
	return n
}

// chain is a base chain of nftables with the policy drop.
type chain struct{ table, chain, hook string }

// dropping reads nft list chains: "table inet filter {", "chain input {" and "type
// filter hook input priority filter; policy drop;".
func dropping(text string) []chain {
	var out []chain
	var at chain
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		switch {
		case len(words) >= 3 && words[0] == "table":
			at.table = words[1] + " " + words[2]
		case len(words) >= 2 && words[0] == "chain":
			at.chain = words[1]
		case len(words) >= 4 && words[0] == "type" && strings.Contains(line, "policy drop"):
			at.hook = words[3]
			if at.hook == "input" || at.hook == "forward" {
				out = append(out, at)
			}
		}
	}
	return out
}
