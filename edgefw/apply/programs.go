package apply

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/coreos/go-iptables/iptables"

	"github.com/kedge-io/kedge/edgefw/apply/render"
)

// Variant is one of the two implementations of iptables, which know nothing of
// each other's rules.
type Variant string

// The variants.
const (
	Legacy Variant = "legacy"
	NFT    Variant = "nft"
)

// Remedy is how a machine gets what is missing.
const remedy = "install the package iptables (Debian, Ubuntu, Fedora, Alpine: iptables; RHEL: iptables-nft)"

// program is iptables or ip6tables in one variant.
type program struct {
	variant Variant
	family  render.Family
	// The paths of the program and of its companions. Empty where there is none.
	main, restore, save string
}

// lockWait is for how many seconds others may hold the lock of iptables.
const lockWait = 10

// find returns the programs by family. Without those of IPv6 a family has an
// empty program; without those of IPv4 there is an error.
func find(v Variant) (map[render.Family]program, error) {
	found := map[render.Family]program{}
	for f, name := range map[render.Family]string{render.V4: "iptables", render.V6: "ip6tables"} {
		p, err := look(f, name, v)
		if err != nil && f == render.V4 {
			return nil, fmt.Errorf("a firewall needs the program %s: %w: %s", name, err, remedy)
		}
		found[f] = p
	}
	return found, nil
}

func look(f render.Family, name string, v Variant) (program, error) {
	if v != "" {
		name += "-" + string(v)
	}
	p := program{variant: v, family: f}
	for suffix, path := range map[string]*string{"": &p.main, "-restore": &p.restore, "-save": &p.save} {
		found, err := exec.LookPath(name + suffix)
		if err != nil {
			return program{}, err
		}
		*path = found
	}
	if v == "" {
		p.variant = p.ask()
	}
	return p, nil
}

// ask lets a program say what it is.
func (p program) ask() Variant {
	out, err := run(context.Background(), "", p.main, "--version")
	if err == nil && strings.Contains(out, "nf_tables") {
		return NFT
	}
	return Legacy // it was the only one before 1.8
}

func run(ctx context.Context, input, path string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdin = strings.NewReader(input)
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", path, strings.Join(args, " "), err, complaint(complaints.String()))
	}
	return out.String(), nil
}

// complaint is the first lines of what a program says of its failure.
func complaint(text string) string {
	const most = 400
	text = strings.Join(strings.Fields(text), " ")
	return text[:min(len(text), most)]
}

// load gives a text to iptables-restore: all of a table's part of it becomes
// effective, or nothing.
func (p program) load(ctx context.Context, text string) error {
	_, err := run(ctx, text, p.restore, "--noflush", "--wait="+fmt.Sprint(lockWait))
	return err
}

// dump is what iptables-save prints of a table; nothing where there is none,
// since looking at a table of the legacy variant makes it.
func (p program) dump(ctx context.Context, table string, counters bool) (string, error) {
	if p.variant == Legacy && !p.legacyHas(table) {
		return "", nil
	}
	args := []string{"-t", table}
	if counters {
		args = append(args, "-c")
	}
	return run(ctx, "", p.save, args...)
}

// legacyHas tells whether the kernel has a table of the legacy variant.
func (p program) legacyHas(table string) bool {
	file := "/proc/thread-self/net/ip_tables_names"
	if p.family == render.V6 {
		file = "/proc/thread-self/net/ip6_tables_names"
	}
	text, err := os.ReadFile(file)
	return err == nil && slices.Contains(strings.Fields(string(text)), table)
}

// chains is the library for fixed chains and jumps.
func (p program) chains() (*iptables.IPTables, error) {
	proto := iptables.ProtocolIPv4
	if p.family == render.V6 {
		proto = iptables.ProtocolIPv6
	}
	return iptables.New(iptables.IPFamily(proto), iptables.Path(p.main), iptables.Timeout(lockWait))
}

// hasIPv6 tells whether the machine speaks IPv6 at all.
func hasIPv6() bool {
	_, err := os.Stat("/proc/thread-self/net/if_inet6")
	return !errors.Is(err, os.ErrNotExist)
}
