package render

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/kedge-io/kedge/edgefw/model"
)

// Names of what is ours in the kernel.
const (
	// Prefix is that of all our chains.
	Prefix = "KEDGE-FW-"
	// RejectChain in table filter answers packets with model.RejectMark.
	RejectChain = Prefix + "REJ"
	// Comment begins the comment of every rule that is counted; the ID of the
	// rule follows.
	Comment = "kedge:"
	// KeptPrefix begins the names of chains that stay the same over generations; the
	// hash of their content follows.
	KeptPrefix = Prefix + "C-"
	// Marker begins the comment of the jump to a generation; its hash follows.
	Marker = "kedge-generation:"
)

// Hook is a built-in chain of table mangle and our part of the name of the chain
// that it jumps to.
type Hook struct{ Builtin, Name string }

// Hooks are all that are used, in the order of a packet's way.
var Hooks = [4]Hook{{"PREROUTING", "PRE"}, {"INPUT", "IN"}, {"FORWARD", "FWD"}, {"OUTPUT", "OUT"}}

// Chain is the name of the chain that the hook jumps to.
func (h Hook) Chain() string { return Prefix + h.Name }

// Generation is A or B. The chains of one are built while those of the other
// are in use.
type Generation string

// The generations.
const (
	A Generation = "A"
	B Generation = "B"
)

// Other is the one that this one is not.
func (g Generation) Other() Generation {
	if g == A {
		return B
	}
	return A
}

// Chain is the full name of a generation's chain.
func (g Generation) Chain(name string) string { return Prefix + string(g) + "-" + name }

// Table is the content of table mangle for one family.
type Table struct {
	chains []chain
	kept   []kept
	// Sets are those that the rules name.
	Sets []model.SetID
	// Rejects tells that table filter must answer what has the reject mark.
	Rejects bool
	// Logged are the words behind the prefixes of log entries.
	Logged map[string]Entry
}

// Entry is what a log entry's prefix stands for.
type Entry struct {
	Rule    string
	Verdict model.Action
}

// kept is a chain of one line that must not be made anew while it is in use.
type kept struct{ name, line string }

type chain struct {
	name  string
	rules []rule
}

// rule is one line: matches, then a target with its options or, with to, a
// chain of the same generation.
type rule struct {
	match  string
	target string // "-j DROP", or "-j " and "-g " before to
	to     string
}

// Empty tells that there is nothing to enforce.
func (t *Table) Empty() bool { return len(t.chains) == 0 }

// Uses tells whether the hook has a chain.
func (t *Table) Uses(h Hook) bool {
	return slices.ContainsFunc(t.chains, func(c chain) bool { return c.name == h.Name })
}

// Lines are the rules of a generation by the full name of their chain, as
// iptables-save prints them; those of the chains that the hooks jump to are
// among them.
func (t *Table) Lines(g Generation) map[string][]string {
	lines := map[string][]string{}
	for _, c := range t.chains {
		name := g.Chain(c.name)
		lines[name] = []string{}
		for _, r := range c.rules {
			lines[name] = append(lines[name], r.line(g, name))
		}
	}
	for _, k := range t.kept {
		lines[k.name] = []string{k.line}
	}
	hash := t.Hash()
	for _, h := range Hooks {
		if t.Uses(h) {
			lines[h.Chain()] = []string{fmt.Sprintf("-A %s -m comment --comment %q -j %s", h.Chain(), Marker+hash, g.Chain(h.Name))}
		}
	}
	return lines
}

func (r rule) line(g Generation, name string) string {
	var b strings.Builder
	b.WriteString("-A " + name)
	if r.match != "" {
		b.WriteString(" " + r.match)
	}
	b.WriteString(" " + r.target)
	if r.to != "" {
		b.WriteString(g.Chain(r.to))
	}
	return b.String()
}

// Hash is that of the text, the same for both generations.
func (t *Table) Hash() string {
	sum := sha256.New()
	for _, c := range t.chains {
		fmt.Fprintln(sum, c.name)
		for _, r := range c.rules {
			fmt.Fprintln(sum, r.line(A, c.name))
		}
	}
	// The content of a kept chain is in its name, which is in the line of a jump.
	return hex.EncodeToString(sum.Sum(nil)[:16])
}

// Restore is the input of "iptables-restore --noflush" that builds generation g
// and makes it the present one. Chains of hooks that are no longer used are left
// empty; present tells which chains there are.
func (t *Table) Restore(g Generation, present func(chain string) bool) string {
	var b strings.Builder
	b.WriteString("*mangle\n")
	lines := t.Lines(g)
	names := make([]string, 0, len(lines))
	for name := range lines {
		if !strings.HasPrefix(name, KeptPrefix) || !present(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&b, ":%s - [0:0]\n", name)
	}
	for _, name := range names {
		for _, line := range lines[name] {
			b.WriteString(line + "\n")
		}
	}
	for _, h := range Hooks {
		if !t.Uses(h) && present(h.Chain()) {
			fmt.Fprintf(&b, "-F %s\n", h.Chain())
		}
	}
	b.WriteString("COMMIT\n")
	return b.String()
}

// Drop is the input that removes chains that nothing jumps to, but each other.
func Drop(chains []string) string { return options(chains, "-F", "-X") }

// Flush is the input that leaves chains empty.
func Flush(chains []string) string { return options(chains, "-F") }

func options(chains []string, options ...string) string {
	var b strings.Builder
	b.WriteString("*mangle\n")
	for _, option := range options {
		for _, name := range chains {
			fmt.Fprintf(&b, "%s %s\n", option, name)
		}
	}
	b.WriteString("COMMIT\n")
	return b.String()
}
