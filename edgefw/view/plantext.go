package view

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/kedge-io/kedge/edgefw/model"
)

// Cuts tells whether a plan would cut something that a node needs and that is
// not implied.
func (p Plan) Cuts() bool {
	for _, n := range p.Nodes {
		for _, r := range n.Risks {
			if r.SavedBy == "" {
				return true
			}
		}
	}
	return false
}

// WritePlan prints what would become of the nodes: the difference, and with
// whole the ruleset.
func WritePlan(w io.Writer, p Plan, whole bool) error {
	for _, problem := range p.Problems {
		fmt.Fprintf(w, "problem: %s\n", problem)
	}
	changed := 0
	for _, n := range p.Nodes {
		if n.Changed {
			changed++
		}
		writePlanned(w, n, whole)
	}
	for _, note := range p.Notes {
		fmt.Fprintf(w, "note: %s\n", note)
	}
	if len(p.Problems) > 0 {
		return nil
	}
	_, err := fmt.Fprintf(w, "%d of %d nodes would have other rules; nothing was changed\n", changed, len(p.Nodes))
	return err
}

func writePlanned(w io.Writer, n PlannedNode, whole bool) {
	if !n.Changed && !whole && len(n.Unreachable)+len(n.Risks) == 0 {
		return
	}
	fmt.Fprintf(w, "node %s (%s)\n", n.Node, cmp.Or(strings.Join(n.Firewalls, ", "), "no firewall"))
	switch {
	case n.As != "":
		fmt.Fprintf(w, "  as node %s\n", n.As)
	case whole:
		indent(w, n.Ruleset)
	case n.Difference != nil:
		indent(w, n.Difference.String())
	}
	for _, u := range n.Unreachable {
		if u.By == "" {
			fmt.Fprintf(w, "  ! rule %s matches nobody\n", u.Rule)
			continue
		}
		fmt.Fprintf(w, "  ! rule %s is never asked: %s matches all that it would\n", u.Rule, u.By)
	}
	for _, r := range n.Risks {
		if r.SavedBy != "" {
			fmt.Fprintf(w, "  * %s: %s would cut it; %s keeps it open\n", r.What, r.By, r.SavedBy)
			continue
		}
		fmt.Fprintf(w, "  ! %s: %s would CUT it (%s to %s): %s\n", r.What, r.By, r.Packet.From, r.Packet.To, r.Why)
	}
	if n.Assumed {
		fmt.Fprintf(w, "  ? the node did not tell its servers, resolvers and --failsafe, so the usual was assumed: %s\n", n.FactsProblem)
	}
}

func indent(w io.Writer, text string) {
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		fmt.Fprintf(w, "  %s\n", line)
	}
}

// WriteExplanation prints what becomes of a packet, step by step.
func WriteExplanation(w io.Writer, x Explanation) error {
	fmt.Fprintf(w, "%s from %s to %s\n", cmp.Or(string(x.Protocol), "any protocol"), endText(x.From), endText(x.To))
	for i, s := range x.Steps {
		where := fmt.Sprintf("node %s, %s", s.Node, s.Direction)
		if s.Pod != "" {
			where = fmt.Sprintf("pod %s on node %s, %s", s.Pod, s.Node, s.Direction)
		}
		fmt.Fprintf(w, "%d. %s: %s", i+1, where, decisionText(s.Decision))
		if !s.Asked {
			fmt.Fprint(w, " (as the server wants it: the node was not asked)")
		}
		fmt.Fprintln(w)
	}
	_, err := fmt.Fprintf(w, "=> %s: %s\n", verdict(x.Verdict), x.Why)
	return err
}

// WriteDecision prints what a node does with a packet.
func WriteDecision(w io.Writer, d Decision) error {
	_, err := fmt.Fprintf(w, "node %s, %s, %s from %s to %s\n=> %s\n", d.Node, d.Packet.Direction, cmp.Or(string(d.Packet.Protocol), "any protocol"),
		d.Packet.From, d.Packet.To, decisionText(d.Decision))
	return err
}

func decisionText(d model.Decision) string {
	text := verdict(d.Verdict)
	if d.Rule != "" {
		text += " by " + d.Rule
	}
	if d.Limited {
		text += " (at a limited rate)"
	}
	if len(d.Logged) > 0 {
		text += ", noted by " + strings.Join(d.Logged, ", ")
	}
	return text + ": " + d.Why
}

// verdict has a word for the absence of one.
func verdict(a model.Action) string {
	if a == model.Pass {
		return "no opinion"
	}
	return string(a)
}

func endText(e End) string {
	address := e.Address.String()
	if e.Address.Port() == 0 {
		address = e.Address.Addr().String()
	}
	var where []string
	if e.Name != "" && e.Name != address && e.Name != e.Address.Addr().String() {
		where = append(where, e.Name)
	}
	if e.Pod != "" && e.Pod != e.Name {
		where = append(where, "pod "+e.Pod)
	}
	if e.Node != "" && e.Node != e.Name {
		where = append(where, "node "+e.Node)
	}
	if len(where) == 0 {
		return address
	}
	return address + " (" + strings.Join(where, ", ") + ")"
}
