// Package errors is the scenario in README.md.
package errors

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kedge-io/kedge/tests/lab"
	"github.com/kedge-io/kedge/tests/lab/cluster"
)

func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }

// failure is a start that must not work.
type failure struct {
	name string
	// prepare is a shell script that makes the mistake, undo one that takes it back.
	prepare, undo string
	// around is put before the command line, args after "kedge".
	around, args []string
	// want must all be in the last lines, whatever the case of the letters.
	want []string
}

// fails runs f on the host and looks at the end of it.
func (f failure) fails(t *testing.T, n *cluster.Node) {
	h := n.Host
	before, err := h.State(t.Context())
	cluster.Must(t, err)
	script(t, h, f.prepare)
	ctx, cancel := context.WithTimeout(t.Context(), cluster.Patience)
	defer cancel()
	argv := slices.Concat(f.around, []string{"/usr/local/bin/kedge"}, f.args, []string{"--cgroup-root", h.CgroupRoot()})
	out, errOut, err := h.Run(ctx, argv...)
	said := lastLines(out+errOut, 12)
	if code := cluster.ExitCode(err); code < 1 || ctx.Err() != nil {
		t.Errorf("it ended with %v (code %d), want a code above 0 by itself; it said\n%s", err, code, said)
	}
	for _, want := range f.want {
		if !strings.Contains(strings.ToLower(said), strings.ToLower(want)) {
			t.Errorf("no %q in\n%s", want, said)
		}
	}
	if strings.Contains(out+errOut, "goroutine 1 [") {
		t.Errorf("it panicked:\n%s", lastLines(out+errOut, 60))
	}
	t.Logf("%s", said)
	script(t, h, f.undo)
	now, err := h.State(t.Context())
	cluster.Must(t, err)
	for _, left := range now.New(before) {
		t.Errorf("left: %s", left)
	}
}

// lastLines is what a person sees at the end.
func lastLines(text string, n int) string {
	all := slices.Collect(strings.Lines(text))
	return strings.Join(all[max(0, len(all)-n):], "")
}

func script(t *testing.T, h *lab.Host, text string) {
	t.Helper()
	if text == "" {
		return
	}
	if _, errOut, err := h.Run(t.Context(), "sh", "-ec", text); err != nil {
		t.Fatalf("%s: %v: %s", text, err, errOut)
	}
}

// threeHosts is a site with a server, an agent and one more.
func threeHosts() lab.Topology {
	return lab.Topology{Sites: []lab.Site{{Name: "cloud", Public: true, Hosts: []string{"server", "agent", "spare"}}}}
}

// hide makes a program that cannot be started of one that can.
func hide(program string) string {
	return "mkdir -p /opt; : > /opt/none; mount --bind /opt/none $(readlink -f /usr/sbin/" + program + ")"
}

func show(program string) string {
	return "umount $(readlink -f /usr/sbin/" + program + "); rm /opt/none"
}

// serverFailures need no other host.
var serverFailures = []failure{
	{
		name:    "unknown key",
		prepare: "mkdir -p /etc/kedge; printf 'node-name: spare\nnode-nam: x\n' > /etc/kedge/config.yaml", undo: "rm -r /etc/kedge",
		args: []string{"server"}, want: []string{"node-nam", "/etc/kedge/config.yaml:2", "node-name"},
	},
	{
		name: "overlapping networks",
		args: []string{"server", "--cluster-cidr", "10.42.0.0/16", "--service-cidr", "10.42.128.0/17"},
		want: []string{"10.42.0.0/16", "10.42.128.0/17", "overlap", "service-cidr"},
	},
	{
		name: "not root", around: []string{"setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"},
		args: []string{"server"}, want: []string{"root"},
	},
	{
		name: "no nft", prepare: hide("nft"), undo: show("nft"),
		args: []string{"server"}, want: []string{"nft", "nftables", "install"},
	},
	{
		name: "no iptables", prepare: hide("iptables"), undo: show("iptables"),
		args: []string{"server"}, want: []string{"iptables", "install"},
	},
	{
		name: "read-only data directory", prepare: "mkdir -p /opt/ro; mount -t tmpfs -o ro ro /opt/ro", undo: "umount /opt/ro",
		args: []string{"server", "--data-dir", "/opt/ro/kedge"}, want: []string{"/opt/ro/kedge", "read-only"},
	},
	{
		name: "full data directory", prepare: "mkdir -p /opt/full; mount -t tmpfs -o size=1m full /opt/full", undo: "test -z \"$(ls -A /opt/full)\"; umount /opt/full",
		args: []string{"server", "--data-dir", "/opt/full/kedge"}, want: []string{"/opt/full/kedge", "space"},
	},
}

func TestServerStartsThatCannotWork(t *testing.T) {
	spare := spareNode(t, lab.New(t, lab.OneServer()).Host("server"))
	for _, f := range serverFailures {
		t.Run(f.name, func(t *testing.T) {
			f.fails(t, spare)
			nothingMade(t, spare)
		})
	}
	for address, want := range map[string][]string{
		":6443":           {"6443", "https-listen-port"},
		"127.0.0.1:10250": {"10250", "kubelet"},
	} {
		t.Run("port taken "+address, func(t *testing.T) {
			l, err := spare.Host.Listen("tcp4", address)
			cluster.Must(t, err)
			defer l.Close()
			failure{args: []string{"server"}, want: want}.fails(t, spare)
			nothingMade(t, spare)
		})
	}
}

// nothingMade fails the test if there is anything in the data directory.
func nothingMade(t *testing.T, n *cluster.Node) {
	t.Helper()
	if files, err := os.ReadDir(n.Host.OnDisk("/var/lib/kedge")); err != nil || len(files) > 0 {
		t.Errorf("the data directory has %v, %v", files, err)
	}
}

func spareNode(t *testing.T, h *lab.Host) *cluster.Node {
	t.Helper()
	cluster.Must(t, cluster.Install(h, cluster.Binary(t)))
	return &cluster.Node{Host: h}
}

func TestStartsThatMeetARunningServer(t *testing.T) {
	c := cluster.New(t, threeHosts(), cluster.Options{NoJoin: true, ServerArgs: []string{"--disable-agent"}})
	agent, spare := c.Agents[0], c.Agents[1]
	token := c.Token(t)
	join := func(url, token string) []string {
		return []string{"agent", "--server", url, "--token", token, "--join-timeout", "3s"}
	}
	for _, f := range []failure{
		{name: "malformed token", args: join(c.URL(), "K1nonsense"), want: []string{"token", "kedge token create"}},
		{name: "wrong secret", args: join(c.URL(), swapEnd(token)), want: []string{"token", "kedge token create"}},
		{name: "another authority", args: join(c.URL(), swapPin(token)), want: []string{"token", c.Server.Host.IP(), "authority"}},
		{name: "no server there", args: join("https://203.0.113.14:6443", token), want: []string{"203.0.113.14:6443", "reach"}},
		{name: "nothing listens", args: join("https://"+c.Server.Host.IP()+":6444", token), want: []string{c.Server.Host.IP() + ":6444", "refused"}},
		{name: "no token", args: []string{"agent", "--server", c.URL()}, want: []string{"token", "kedge token create"}},
	} {
		t.Run(f.name, func(t *testing.T) { f.fails(t, agent) })
	}
	t.Run("expired token", func(t *testing.T) {
		short := c.Token(t, "--ttl", "1s")
		<-time.After(2 * time.Second) // the lifetime itself, there is nothing to probe
		failure{args: join(c.URL(), short), want: []string{"expired", "kedge token create"}}.fails(t, agent)
	})
	t.Run("second server on the data directory", func(t *testing.T) {
		failure{args: []string{"server", "--disable-agent", "--https-listen-port", "7443"}, want: []string{"/var/lib/kedge", "already"}}.fails(t, c.Server)
	})
	t.Run("a right token afterwards", func(t *testing.T) {
		c.Join(t, agent)
		c.WaitNodes(t)
	})
	t.Run("a name that is taken", func(t *testing.T) {
		args := append(join(c.URL(), c.Token(t)), "--node-name", agent.Name())
		failure{args: args, want: []string{agent.Name(), "kedge node replace"}}.fails(t, spare)
	})
	t.Run("damaged database", func(t *testing.T) {
		cluster.Must(t, c.Server.Stop(t.Context()))
		damage(t, c.Server.Host)
		failure{args: []string{"server", "--disable-agent"}, want: []string{"/var/lib/kedge/server/db/state.db", "aside", "kedge snapshot restore"}}.fails(t, c.Server)
	})
}

// swapEnd changes the last character, which belongs to the secret.
func swapEnd(token string) string {
	last := byte('a')
	if token[len(token)-1] == last {
		last = 'b'
	}
	return token[:len(token)-1] + string(last)
}

// swapPin replaces the hash of the authority by that of none.
func swapPin(token string) string {
	pin, rest, _ := strings.Cut(strings.TrimPrefix(token, "K1"), "::")
	return "K1" + strings.Repeat("0", len(pin)) + "::" + rest
}

// damage overwrites pages in the middle of the database of a stopped server.
func damage(t *testing.T, h *lab.Host) {
	t.Helper()
	f, err := os.OpenFile(h.OnDisk("/var/lib/kedge/server/db/state.db"), os.O_RDWR, 0)
	cluster.Must(t, err)
	defer f.Close()
	info, err := f.Stat()
	cluster.Must(t, err)
	_, err = f.WriteAt([]byte(strings.Repeat("damaged ", 8192)), info.Size()/3/4096*4096)
	cluster.Must(t, err)
}
