package apply

import (
	"slices"
	"strings"

	"github.com/kedge-io/kedge/edgefw/apply/render"
)

// listing is what iptables-save printed of ours: the chains with their rules, and
// the jumps to them in chains of others.
type listing struct {
	chains map[string][]string
	jumps  []string
}

// parse leaves out counters and what is not ours.
func parse(text string) listing {
	l := listing{chains: map[string][]string{}}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, ":"+render.Prefix); ok {
			name, _, _ = strings.Cut(name, " ")
			l.chains[render.Prefix+name] = []string{}
			continue
		}
		_, line = counters(line)
		chain, ok := chainOf(line)
		switch {
		case !ok:
		case strings.HasPrefix(chain, render.Prefix):
			l.chains[chain] = append(l.chains[chain], line)
		case strings.Contains(line, "-j "+render.Prefix):
			l.jumps = append(l.jumps, line)
		}
	}
	return l
}

// chainOf is the chain of a line "-A CHAIN ...".
func chainOf(line string) (string, bool) {
	rest, ok := strings.CutPrefix(line, "-A ")
	if !ok {
		return "", false
	}
	chain, _, _ := strings.Cut(rest, " ")
	return chain, true
}

// counters takes "[packets:bytes] " off a line.
func counters(line string) (text, rest string) {
	if !strings.HasPrefix(line, "[") {
		return "", line
	}
	text, rest, ok := strings.Cut(line[1:], "] ")
	if !ok {
		return "", line
	}
	return text, rest
}

// generation is the one that a hook leads to; B if none does, so that A is next.
func (l listing) generation() render.Generation {
	for _, h := range render.Hooks {
		for _, line := range l.chains[h.Chain()] {
			if strings.HasSuffix(line, "-j "+render.A.Chain(h.Name)) {
				return render.A
			}
		}
	}
	return render.B
}

// mention tells whether a rule of the present generation uses a set.
func (l listing) mention(set string) bool {
	prefix := l.generation().Chain("")
	for name, lines := range l.chains {
		if strings.HasPrefix(name, prefix) && slices.ContainsFunc(lines, func(line string) bool {
			return strings.Contains(line, " "+set+" ")
		}) {
			return true
		}
	}
	return false
}

// same tells whether ours in table mangle are exactly these chains.
func (l listing) same(want map[string][]string) bool {
	if len(l.chains) != len(want) {
		return false
	}
	for name, lines := range want {
		have, ok := l.chains[name]
		if !ok || !slices.Equal(have, lines) {
			return false
		}
	}
	return true
}

// jump is the line by which a hook leads to our chain.
func jump(builtin, match, chain string) string {
	if match != "" {
		match += " "
	}
	return "-A " + builtin + " " + match + "-j " + chain
}
