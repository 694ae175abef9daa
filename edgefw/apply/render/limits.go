package render

import (
	"fmt"

	"github.com/kedge-io/kedge/edgefw/model"
)

// limits drop what exceeds them.
func (s *section) limits(c *chain, r model.HostRule) {
	if r.Rate != nil {
		over := join(s.w.rate("above", r.ID, *r.Rate), limited(r.ID))
		c.add(over, "-j DROP")
	}
	if r.Connections != nil {
		s.connections(c, r)
	}
}

// connections counts in a chain that belongs to no generation: with a new rule the
// kernel would begin to count from nothing. (iptables-legacy makes all rules of a
// table anew at each change of one; there only those connections are counted that
// began since.)
func (s *section) connections(c *chain, r model.HostRule) {
	mask := 0
	if r.Connections.Per == model.PerSource {
		mask = s.w.Family.bits()
	}
	over := join(fmt.Sprintf("-m connlimit --connlimit-above %d --connlimit-mask %d --connlimit-saddr", r.Connections.Max, mask), limited(r.ID))
	name := KeptPrefix + short(over, 12)
	c.add("", "-j "+name)
	s.w.table.kept = append(s.w.table.kept, kept{name: name, line: "-A " + name + " " + over + " -j DROP"})
}

// limited names the counter of what a limit dropped.
func limited(id string) string {
	return fmt.Sprintf(`-m comment --comment "%s%s"`, Over, Word(id))
}

// Over begins the comment of what drops a rule's excess.
const Over = "kedge-over:"

// rate is the match of what is "above" or "upto" a rate. The name of the
// kernel's table is the same as long as rule and rate are, so that its content
// survives a new generation.
func (w *writer) rate(side, id string, r model.RateLimit) string {
	unit := map[uint32]string{1: "sec", 60: "min", 3600: "hour"}[r.Seconds]
	name := SetPrefix + short(fmt.Sprint(id, r), 12)
	text := fmt.Sprintf("-m hashlimit --hashlimit-%s %d/%s --hashlimit-burst %d", side, r.Count, unit, r.Burst)
	if r.Per == model.PerSource {
		text += " --hashlimit-mode srcip"
	}
	return text + " --hashlimit-name " + name
}

// LogGroup is the NFLOG group of all that is noted.
const LogGroup = 107

// LogPrefix begins the prefix of every log entry.
const LogPrefix = "kedge:"

// log notes packets, not more than 5 a second for each rule.
func (w *writer) log(c *chain, id string, verdict model.Action) {
	word := LogPrefix + short(id+" "+string(verdict), 12)
	w.table.Logged[word] = Entry{Rule: id, Verdict: verdict}
	c.add("-m limit --limit 5/sec --limit-burst 10", fmt.Sprintf(`-j NFLOG --nflog-prefix "%s" --nflog-group %d`, word, LogGroup))
}
