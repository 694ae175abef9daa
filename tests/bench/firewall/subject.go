package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os/exec"
	"strings"

	"github.com/coreos/go-iptables/iptables"

	"github.com/kedge-io/kedge/edgefw/apply"
	"github.com/kedge-io/kedge/edgefw/model"
)

// port is the one that the prefixes may reach.
const port = 7777

// subject is one way to tell the kernel.
type subject struct {
	name string
	// first builds everything with these prefixes, from nothing. onto is called
	// where a subject builds one by one; it stops when that says so.
	first func(ctx context.Context, prefixes []netip.Prefix, onto func(done int) bool) error
	// change adds a prefix to what first built, back takes it away.
	change, back func(ctx context.Context, all []netip.Prefix, p netip.Prefix) error
	remove       func(ctx context.Context) error
}

// kedge applies whole wishes; it finds by itself that one entry is all that
// differs.
func kedge(v apply.Variant) subject {
	var k *apply.Kernel
	set := func(ctx context.Context, prefixes []netip.Prefix) error {
		_, err := k.Apply(ctx, wish(prefixes))
		return err
	}
	return subject{
		name: "kedge, iptables-" + string(v),
		first: func(ctx context.Context, prefixes []netip.Prefix, _ func(int) bool) (err error) {
			if k, err = apply.New(apply.Config{Log: slog.New(slog.DiscardHandler), Variant: v}); err != nil {
				return err
			}
			return set(ctx, prefixes)
		},
		change: func(ctx context.Context, all []netip.Prefix, p netip.Prefix) error {
			return set(ctx, append(all[:len(all):len(all)], p))
		},
		back:   func(ctx context.Context, all []netip.Prefix, _ netip.Prefix) error { return set(ctx, all) },
		remove: apply.RemoveAll,
	}
}

func wish(prefixes []netip.Prefix) apply.Wish {
	const id model.SetID = "set/bench"
	return apply.Wish{Ruleset: &model.Ruleset{
		Host: model.HostRules{Ingress: model.Chain{
			Rules: []model.HostRule{{ID: "bench/ingress/allow", Action: model.Allow, Protocol: model.UDP,
				Ports: []model.PortRange{model.Port(port)}, Peers: []model.SetID{id}}},
			Default: model.Deny, DefaultFrom: "bench",
		}},
		Sets: map[model.SetID]model.Set{id: {Prefixes: prefixes}},
	}}
}

// chain is that of the others.
const chain = "BENCH"

var accept = []string{"-p", "udp", "--dport", fmt.Sprint(port), "-j", "ACCEPT"}

func ruleByRule(v apply.Variant) subject {
	var ipt *iptables.IPTables
	return subject{
		name: "go-iptables rule by rule, " + string(v),
		first: func(_ context.Context, prefixes []netip.Prefix, onto func(int) bool) (err error) {
			if ipt, err = iptables.New(iptables.Path("iptables-" + string(v))); err != nil {
				return err
			}
			if err := ipt.NewChain("filter", chain); err != nil {
				return err
			}
			for i, p := range prefixes {
				if !onto(i) {
					break
				}
				if err := ipt.Append("filter", chain, append([]string{"-s", p.String()}, accept...)...); err != nil {
					return err
				}
			}
			if err := ipt.Append("filter", chain, "-j", "DROP"); err != nil {
				return err
			}
			return ipt.Append("filter", "INPUT", "-j", chain)
		},
		change: func(_ context.Context, _ []netip.Prefix, p netip.Prefix) error {
			return ipt.Insert("filter", chain, 1, append([]string{"-s", p.String()}, accept...)...)
		},
		back: func(_ context.Context, _ []netip.Prefix, p netip.Prefix) error {
			return ipt.Delete("filter", chain, append([]string{"-s", p.String()}, accept...)...)
		},
		remove: func(ctx context.Context) error { return flush(ctx, v) },
	}
}

func restore(v apply.Variant) subject {
	load := func(ctx context.Context, prefixes []netip.Prefix) error {
		var b strings.Builder
		fmt.Fprintf(&b, "*filter\n:%s - [0:0]\n", chain)
		for _, p := range prefixes {
			fmt.Fprintf(&b, "-A %s -s %s %s\n", chain, p, strings.Join(accept, " "))
		}
		fmt.Fprintf(&b, "-A %s -j DROP\n-F INPUT\n-A INPUT -j %s\nCOMMIT\n", chain, chain)
		return feed(ctx, b.String(), "iptables-"+string(v)+"-restore", "--noflush")
	}
	return subject{
		name:  "iptables-restore, " + string(v),
		first: func(ctx context.Context, prefixes []netip.Prefix, _ func(int) bool) error { return load(ctx, prefixes) },
		change: func(ctx context.Context, all []netip.Prefix, p netip.Prefix) error {
			return load(ctx, append(all[:len(all):len(all)], p))
		},
		back:   func(ctx context.Context, all []netip.Prefix, _ netip.Prefix) error { return load(ctx, all) },
		remove: func(ctx context.Context) error { return flush(ctx, v) },
	}
}

func nftables() subject {
	element := func(verb string) func(context.Context, []netip.Prefix, netip.Prefix) error {
		return func(ctx context.Context, _ []netip.Prefix, p netip.Prefix) error {
			return feed(ctx, fmt.Sprintf("%s element ip bench allowed { %s }\n", verb, p), "nft", "-f", "-")
		}
	}
	return subject{
		name: "nft -f, a set of intervals",
		first: func(ctx context.Context, prefixes []netip.Prefix, _ func(int) bool) error {
			var b strings.Builder
			b.WriteString("table ip bench {\nset allowed {\ntype ipv4_addr; flags interval; elements = {\n")
			for _, p := range prefixes {
				fmt.Fprintf(&b, "%s,\n", p)
			}
			fmt.Fprintf(&b, "}\n}\nchain in {\ntype filter hook input priority 0;\nudp dport %d ip saddr @allowed accept\ndrop\n}\n}\n", port)
			return feed(ctx, b.String(), "nft", "-f", "-")
		},
		change: element("add"),
		back:   element("delete"),
		remove: func(ctx context.Context) error { return feed(ctx, "delete table ip bench\n", "nft", "-f", "-") },
	}
}

func flush(ctx context.Context, v apply.Variant) error {
	return feed(ctx, "*filter\n-F INPUT\n-F "+chain+"\n-X "+chain+"\nCOMMIT\n", "iptables-"+string(v)+"-restore", "--noflush")
}

func feed(ctx context.Context, input, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(input)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %.200s", name, err, complaints.String())
	}
	return nil
}
