package network

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
)

// forwardChain holds our exceptions from a FORWARD policy of DROP, which
// Docker and ufw set. A verdict in an nftables table of our own cannot help:
// every base chain of a hook must accept.
const forwardChain = "KEDGE-FORWARD"

// iptables is one of the two kinds of iptables that a host may use, or both.
type iptables struct {
	program string
	legacy  bool
}

// ensureForward lets pod traffic pass where the policy of FORWARD is DROP, and
// does nothing elsewhere. It never makes an iptables table that was not there.
func ensureForward(ctx context.Context, pods netip.Prefix) error {
	var errs []error
	for _, t := range findIptables(ctx) {
		forward, err := t.list(ctx, "FORWARD")
		if err != nil || !strings.HasPrefix(forward, "-P FORWARD DROP") {
			continue
		}
		want := fmt.Sprintf("-A %[1]s -s %[2]s -j ACCEPT\n-A %[1]s -d %[2]s -j ACCEPT\n", forwardChain, pods)
		jump := "-A FORWARD -j " + forwardChain + "\n"
		have, err := t.list(ctx, forwardChain)
		if err == nil && strings.Contains(have, want) && strings.Contains(forward, jump) {
			continue
		}
		script := "*filter\n:" + forwardChain + " - [0:0]\n" + want
		if !strings.Contains(forward, jump) {
			script += "-I FORWARD 1 -j " + forwardChain + "\n"
		}
		if err := t.restore(ctx, script+"COMMIT\n"); err != nil {
			errs = append(errs, fmt.Errorf("letting pod traffic pass the FORWARD chain: %w", err))
		}
	}
	return errors.Join(errs...)
}

func removeForward(ctx context.Context) error {
	var errs []error
	for _, t := range findIptables(ctx) {
		if _, err := t.list(ctx, forwardChain); err != nil {
			continue
		}
		script := "*filter\n:" + forwardChain + " - [0:0]\n"
		if forward, err := t.list(ctx, "FORWARD"); err == nil && strings.Contains(forward, "-j "+forwardChain+"\n") {
			script += "-D FORWARD -j " + forwardChain + "\n"
		}
		errs = append(errs, t.restore(ctx, script+"-X "+forwardChain+"\nCOMMIT\n"))
	}
	return errors.Join(errs...)
}

// findIptables returns the kinds whose filter table exists in the kernel.
func findIptables(ctx context.Context) []iptables {
	var found []iptables
	seen := map[bool]bool{}
	for _, program := range []string{"iptables-nft", "iptables-legacy", "iptables"} {
		version, err := execute(ctx, "", program, "--version")
		if err != nil {
			continue
		}
		t := iptables{program: program, legacy: !strings.Contains(version, "nf_tables")}
		if !seen[t.legacy] && t.inUse(ctx) {
			seen[t.legacy] = true
			found = append(found, t)
		}
	}
	return found
}

// inUse asks the kernel rather than the program, which would make the table.
func (t iptables) inUse(ctx context.Context) bool {
	if t.legacy {
		names, err := os.ReadFile("/proc/thread-self/net/ip_tables_names")
		return err == nil && bytes.Contains(names, []byte("filter"))
	}
	_, err := execute(ctx, "", "nft", "list", "chain", "ip", "filter", "FORWARD")
	return err == nil
}

func (t iptables) list(ctx context.Context, chain string) (string, error) {
	return execute(ctx, "", t.program, "-w", "-S", chain)
}

func (t iptables) restore(ctx context.Context, script string) error {
	_, err := execute(ctx, script, t.program+"-restore", "-w", "--noflush")
	return err
}

func execute(ctx context.Context, stdin, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", program, strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}
