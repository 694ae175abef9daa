package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kedge-io/kedge/edgefw/model"
)

// Text is the stable form of a ruleset for people: a line for each rule, default
// and set. Of a set's entries it has the first few.
func Text(rs *model.Ruleset) string {
	lines := slices.Concat(hostLines(&rs.Host), podLines(&rs.Pods), setLines(rs.Sets))
	if len(lines) == 0 {
		return "nothing\n"
	}
	return strings.Join(lines, "\n") + "\n"
}

func hostLines(h *model.HostRules) []string {
	var lines []string
	for i, c := range []*model.Chain{&h.Ingress, &h.Egress} {
		lines = append(lines, ruleLines(model.Directions[i], c)...)
		if c.Default != model.Pass {
			lines = append(lines, defaultLine(model.Directions[i], c))
		}
	}
	if h.Cut {
		lines = append(lines, cutLine)
	}
	return lines
}

const cutLine = "established flows that the rules do not let begin are cut"

func defaultLine(d model.Direction, c *model.Chain) string {
	return fmt.Sprintf("%s default %s (%s)", d, c.Default, c.DefaultFrom)
}

func ruleLines(d model.Direction, c *model.Chain) []string {
	var lines []string
	for i := range c.Rules {
		lines = append(lines, ruleLine(d, &c.Rules[i]))
	}
	return lines
}

func ruleLine(d model.Direction, r *model.HostRule) string {
	word := "from"
	if d == model.Egress {
		word = "to"
	}
	line := fmt.Sprintf("%s %s %s %s %s", d, r.Action, trafficText(r.Protocol, r.Ports), word, peersText(r.Peers, r.Anybody))
	if r.Rate != nil {
		line += fmt.Sprintf(", at most %d per %ds (%d at once) by %s", r.Rate.Count, r.Rate.Seconds, r.Rate.Burst, r.Rate.Per)
	}
	if r.Connections != nil {
		line += fmt.Sprintf(", at most %d connections by %s", r.Connections.Max, r.Connections.Per)
	}
	if r.Log {
		line += ", logged"
	}
	return line + " (" + r.ID + ")"
}

func trafficText(p model.Protocol, ranges []model.PortRange) string {
	text := string(p)
	if p == model.AnyProtocol {
		text = "all"
	}
	for i, r := range ranges {
		if i == 0 {
			text += " " + r.String()
			continue
		}
		text += "," + r.String()
	}
	return text
}

func peersText(ids []model.SetID, anybody bool) string {
	if anybody {
		return "anybody"
	}
	words := make([]string, 0, len(ids))
	for _, id := range ids {
		words = append(words, string(id))
	}
	return strings.Join(words, " ")
}

func podLines(p *model.PodRules) []string {
	var lines []string
	if len(p.Guarded) > 0 {
		lines = append(lines, fmt.Sprintf("pods of %s: %d known", strings.Join(p.Guarded, " "), len(p.Known)))
	}
	for i, isolated := range []model.SetID{p.IsolatedIngress, p.IsolatedEgress} {
		if isolated != "" {
			lines = append(lines, fmt.Sprintf("pods %s of %s only by rules", model.Directions[i], isolated))
		}
	}
	for _, r := range p.Ingress {
		lines = append(lines, fmt.Sprintf("pods ingress allow %s to %s from %s (%s)",
			trafficText(r.Protocol, r.Ports), r.Pods, peersText(r.Peers, r.Anybody), r.ID))
	}
	for _, r := range p.Egress {
		lines = append(lines, fmt.Sprintf("pods egress allow %s from %s to %s (%s)",
			trafficText(r.Protocol, r.Ports), r.Pods, peersText(r.Peers, r.Anybody), r.ID))
	}
	return lines
}

// shownEntries is how many of a set's entries people see.
const shownEntries = 4

func setLines(sets map[model.SetID]model.Set) []string {
	var lines []string
	for _, id := range slices.Sorted(maps.Keys(sets)) {
		entries := entriesOf(sets[id])
		line := fmt.Sprintf("set %s (%d): %s", id, len(entries), strings.Join(entries[:min(shownEntries, len(entries))], " "))
		if len(entries) > shownEntries {
			line += " ..."
		}
		lines = append(lines, strings.TrimRight(line, ": "))
	}
	return lines
}

// entriesOf are the entries of a set as words.
func entriesOf(s model.Set) []string {
	if s.Name != "" {
		return []string{s.Name}
	}
	words := slices.Clone(s.Pods)
	for _, p := range s.Prefixes {
		words = append(words, p.String())
	}
	return words
}
