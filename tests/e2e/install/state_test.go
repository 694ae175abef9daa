package install

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/kedge-io/kedge/tests/lab"
	"github.com/kedge-io/kedge/tests/lab/cluster"
)

// inside are looks at the host by its own programs, outside those at its network
// by the machine's: the host has none.
var (
	inside = map[string]string{
		"file":    `find / /run /var/lib/kedge /usr/local/bin -xdev ! -path '/proc/*' ! -path '/sys/*' -printf '%p %y %m %U\n'`,
		"package": `dpkg-query -W -f '${Package} ${Version} ${Status}\n'`,
		"process": `for p in /proc/[0-9]*; do tr '\0' ' ' <$p/cmdline 2>/dev/null | grep -v '^\(sh\|tr\|grep\) ' | cut -c 1-100; done`,
		"mount":   `awk '{ print $2, $3 }' /proc/1/mounts`,
	}
	outside = map[string]string{
		"link":    `ip -o link show | awk '{ print $2 }'`,
		"address": `ip -o address show | awk '{ print $2, $3, $4 }'`,
		"route":   `ip route show table all; ip rule show`,
		"rule":    `nft -s list ruleset`,
		"queue":   `tc qdisc show`,
	}
)

// others are places where dpkg and apt note what they did, caches, and what mount
// and iptables keep while the host runs.
var others = []string{
	"/var/lib/dpkg/", "/var/lib/apt/", "/var/cache/apt", "/var/cache/debconf/", "/var/cache/ldconfig", "/var/log/apt", "/var/log/dpkg.log",
	"/var/log/alternatives.log", "/etc/ld.so.cache", "/run/xtables.lock", "/run/mount",
}

// emptyRules are lines of tables that hold nothing: iptables makes them by being
// called.
var emptyRules = []string{"", "}", "chain INPUT {", "chain FORWARD {", "chain OUTPUT {", "chain PREROUTING {", "chain POSTROUTING {"}

// look lists what there is on the host, by kind.
func look(t *testing.T, h *lab.Host) map[string][]string {
	t.Helper()
	state := map[string][]string{}
	for kind, script := range inside {
		out, errOut, err := h.Run(t.Context(), "sh", "-c", script)
		if err != nil && out == "" {
			t.Fatalf("%s: %v: %s", kind, err, errOut)
		}
		state[kind] = lines(out)
	}
	for kind, script := range outside {
		cmd := exec.CommandContext(t.Context(), "nsenter", fmt.Sprintf("--net=/proc/%d/ns/net", h.InitPID()), "sh", "-c", script)
		out, err := cmd.Output()
		cluster.Must(t, err)
		state[kind] = lines(string(out))
	}
	state["file"] = slices.DeleteFunc(state["file"], func(f string) bool {
		return slices.ContainsFunc(others, func(p string) bool { return strings.HasPrefix(f, p) })
	})
	state["rule"] = slices.DeleteFunc(state["rule"], func(l string) bool {
		return slices.Contains(emptyRules, l) || strings.HasPrefix(l, "table ") || strings.HasPrefix(l, "type ")
	})
	return state
}

func lines(text string) []string {
	var all []string
	for line := range strings.Lines(text) {
		all = append(all, strings.TrimSpace(line))
	}
	slices.Sort(all)
	return all
}

// compare fails the test for each difference.
func compare(t *testing.T, before, after map[string][]string) {
	t.Helper()
	for kind, was := range before {
		for _, line := range after[kind] {
			if !slices.Contains(was, line) {
				t.Errorf("left: %s %s", kind, line)
			}
		}
		for _, line := range was {
			if !slices.Contains(after[kind], line) {
				t.Errorf("gone: %s %s", kind, line)
			}
		}
	}
}
