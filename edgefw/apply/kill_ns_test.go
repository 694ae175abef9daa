//go:build namespace

package apply_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kedge-io/kedge/edgefw/apply"
	"github.com/kedge-io/kedge/edgefw/apply/render"
	"github.com/kedge-io/kedge/edgefw/model"
)

// victim tells the test binary to apply wishes until it is killed; the value is
// the variant.
const victim = "KEDGE_TEST_APPLY_VICTIM"

// applyUntilKilled goes through revisions, in place, by swaps and by generations.
func applyUntilKilled(v apply.Variant) {
	k, err := apply.New(apply.Config{Variant: v, Log: slog.New(slog.DiscardHandler)})
	for n := 0; err == nil; n++ {
		_, err = k.Apply(context.Background(), revision(n%revisions))
		fmt.Println(n)
	}
	fmt.Println(err)
	os.Exit(1)
}

// revisions is how many differ.
const revisions = 6

// revision n has n in its rules' names, in ports and in its sets; two that follow
// each other differ in chains, in several sets, in one set or in one entry.
func revision(n int) apply.Wish {
	w := everything()
	in := &w.Ruleset.Host.Ingress
	for i := range n / 3 * 4 {
		in.Rules = append(in.Rules, model.HostRule{ID: fmt.Sprintf("b/ingress/%d-%d", n/3, i), Action: model.Reject,
			Protocol: model.TCP, Ports: []model.PortRange{model.Port(uint16(7000 + i))}, Peers: []model.SetID{"set/many"}})
	}
	var many []netip.Prefix
	for i := range 500 + n/2*500 {
		many = append(many, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(n / 2), byte(i >> 8), byte(i)}), 32))
	}
	if n%2 == 1 {
		many = append(many, netip.MustParsePrefix("100.64.0.0/10"))
	}
	w.Ruleset.Sets["set/many"] = model.Set{Prefixes: many}
	w.Ruleset.Sets["set/friends"] = model.Set{Prefixes: prefixes(fmt.Sprintf("192.0.%d.0/24", n/2), "2001:db8::/64")}
	return w
}

func TestKillLeavesAWholeRevision(t *testing.T) {
	each(t, func(t *testing.T, b *bed) {
		b.node.Run("iptables -A INPUT -p tcp --dport 9 -j DROP; iptables -t mangle -N FOREIGN; iptables -t mangle -A FOREIGN -s 203.0.113.77 -j DROP")
		t.Cleanup(func() { b.node.Run("iptables -F INPUT; iptables -t mangle -F FOREIGN; iptables -t mangle -X FOREIGN") })
		foreign := b.foreign()
		seen := map[string]int{}
		for i := range kills(t) {
			b.killed(time.Duration(i*7919%400) * 100 * time.Microsecond)
			for _, f := range []render.Family{render.V4, render.V6} {
				seen[b.whole(f)]++
			}
			if got := b.foreign(); got != foreign {
				t.Fatalf("rules of others were\n%s\nare\n%s", foreign, got)
			}
		}
		t.Logf("the kernel had after kills: %v", seen)
		// The next process puts it right and sweeps.
		b.kernel = b.open(b.variant())
		b.apply(revision(0))
		if o, err := b.kernel.Observe(context.Background()); err != nil || !o.Equal {
			t.Errorf("observed %+v, %v", o, err)
		}
		clean := b.ours()
		b.apply(apply.Wish{Ruleset: &model.Ruleset{}})
		b.apply(revision(0))
		if is, want := placeless(clean), placeless(b.ours()); is != want {
			t.Errorf("something was left: %s", difference(is, want))
		}
	})
}

// kills is 50 for each variant, and 5 with -short.
func kills(t *testing.T) int {
	if testing.Short() {
		return 5
	}
	return 50
}

// killed runs a process that applies one revision after the other, and kills it
// some time after it began with the fourth.
func (b *bed) killed(after time.Duration) {
	b.t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), victim+"="+string(b.which))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	const warm = 3
	for n := -1; n < warm; {
		if _, err := fmt.Fscan(out, &n); err != nil {
			b.t.Fatalf("reading what was applied: %v", err)
		}
	}
	<-time.After(after)
	// The programs that it runs as well, as when a machine loses its power.
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	_ = cmd.Wait()
}

// whole is the number of the revision that the kernel has of a family; the test
// fails if it has a mixture.
func (b *bed) whole(f render.Family) string {
	b.t.Helper()
	have := b.enforced(f)
	for n := range revisions {
		if have == b.wished(f, revision(n)) {
			return strconv.Itoa(n)
		}
	}
	if have == b.wished(f, apply.Wish{Ruleset: &model.Ruleset{}}) {
		return "none"
	}
	least := ""
	for n := range revisions {
		if d := difference(have, b.wished(f, revision(n))); least == "" || len(d) < len(least) {
			least = d
		}
	}
	b.t.Fatalf("IPv%d has no whole revision: %s", f, least)
	return ""
}

// difference are lines that one text has and the other has not.
func difference(have, want string) string {
	var out strings.Builder
	missing := func(sign, from, in string) {
		for line := range strings.Lines(from) {
			if !strings.Contains(in, strings.TrimSpace(line)) {
				fmt.Fprintf(&out, "\n%s %.150s", sign, strings.TrimSpace(line))
			}
		}
	}
	missing("too much:", have, want)
	missing("missing:", want, have)
	return out.String()
}

// wished is what enforced is to say: the rules that packets meet, with the content
// of sets instead of their names.
func (b *bed) wished(f render.Family, w apply.Wish) string {
	t := render.New(render.Input{Family: f, Ruleset: w.Ruleset, Facts: w.Facts, Pods: w.Local.Pods, Slot: func(model.SetID) render.Slot { return render.SlotA }})
	var lines []string
	for _, h := range render.Hooks {
		if t.Uses(h) {
			lines = append(lines, follow(t.Lines(render.A), render.A.Chain(h.Name))...)
		}
	}
	contents := map[string]string{}
	for _, id := range t.Sets {
		contents[render.SetName(id, f, render.SlotA)] = digest(apply.Content(w, id, f))
	}
	return contained(lines, contents)
}

// enforced begins where the kernel begins.
func (b *bed) enforced(f render.Family) string {
	b.t.Helper()
	program := map[render.Family]string{render.V4: "iptables-", render.V6: "ip6tables-"}[f] + string(b.which) + "-save"
	chains := map[string][]string{}
	for line := range strings.Lines(b.node.Run(program + " -t mangle 2>/dev/null")) {
		if words := strings.Fields(line); len(words) > 1 && words[0] == "-A" {
			chains[words[1]] = append(chains[words[1]], strings.TrimSpace(line))
		}
	}
	var lines []string
	for _, h := range render.Hooks {
		for _, line := range chains[h.Builtin] {
			if strings.HasSuffix(line, "-j "+h.Chain()) && len(chains[h.Chain()]) > 0 {
				words := strings.Fields(chains[h.Chain()][0])
				lines = append(lines, follow(chains, words[len(words)-1])...)
			}
		}
	}
	contents := map[string]string{}
	list, err := b.sets.List(render.SetPrefix)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, s := range list {
		entries, err := b.sets.Entries(s.Name)
		if err != nil {
			b.t.Fatal(err)
		}
		contents[s.Name] = digest(entries)
	}
	return contained(lines, contents)
}

// follow is a chain and all that it leads to.
func follow(chains map[string][]string, name string) []string {
	lines := append([]string{}, chains[name]...)
	for _, line := range chains[name] {
		words := strings.Fields(line)
		if next := words[len(words)-1]; strings.HasPrefix(next, render.Prefix) {
			lines = append(lines, follow(chains, next)...)
		}
	}
	return lines
}

func digest(list []netip.Prefix) string { return fmt.Sprintf("{%d: %v}", len(list), list) }

func contained(lines []string, contents map[string]string) string {
	text := generationless(strings.Join(lines, "\n"))
	for name, content := range contents {
		text = strings.ReplaceAll(text, " "+name+" ", " "+content+" ")
	}
	return text
}

func generationless(text string) string {
	return strings.NewReplacer("-FW-B-", "-FW-A-", "-j KEDGE-FW-B", "-j KEDGE-FW-A").Replace(text)
}

var slot = regexp.MustCompile(`(kfw[0-9a-f]{12}[46])[ab]`)

// placeless is a listing without the letters of generations and slots.
func placeless(text string) string {
	lines := strings.Split(generationless(slot.ReplaceAllString(text, "${1}x")), "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// foreign and ours are what the kernel has of others and of kedge.
func (b *bed) foreign() string { return b.grep("-v", "") }
func (b *bed) ours() string    { return b.grep("", "; ipset list -n | sort") }

func (b *bed) grep(option, more string) string {
	v := "-" + string(b.which) + "-save"
	return stripped(b.node.Run("(iptables" + v + "; ip6tables" + v + ") 2>/dev/null | grep " + option + " KEDGE | grep -v kedge-generation || true" + more))
}
