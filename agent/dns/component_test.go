//go:build namespace

package dns

import (
	"context"
	"flag"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	miekg "github.com/miekg/dns"
)

var inNamespace = flag.Bool("in-namespace", false, "the test runs in a network namespace of its own")

// TestMain runs the tests again in a network namespace, where port 53 and lo
// are theirs.
func TestMain(m *testing.M) {
	flag.Parse()
	if *inNamespace || os.Geteuid() != 0 {
		os.Exit(m.Run())
	}
	cmd := exec.Command(os.Args[0], append(os.Args[1:], "-in-namespace")...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if err := cmd.Run(); err != nil {
		os.Exit(1)
	}
}

// setup needs a namespace of the test's own and leaves it empty.
func setup(t *testing.T) Config {
	t.Helper()
	if !*inNamespace {
		t.Skip("missing: root, to make a network namespace")
	}
	run(t, "ip link set lo up")
	t.Cleanup(func() {
		if err := RemoveAll(context.Background()); err != nil {
			t.Error(err)
		}
		run(t, "nft flush ruleset")
	})
	return Config{
		Address: netip.MustParseAddr("10.43.0.10"), Domain: "cluster.local", Kubeconfig: fakeAPI(t),
		ResolvConf: filepath.Join(t.TempDir(), "resolv.conf"),
	}
}

func run(t *testing.T, command string) string {
	t.Helper()
	out, err := exec.Command("sh", "-ec", command).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", command, err, out)
	}
	return string(out)
}

// start runs the component until it is ready; the result ends it and waits.
func start(t *testing.T, cfg Config, report func(error)) (stop func()) {
	t.Helper()
	d, err := New(cfg, slog.New(slog.DiscardHandler), report)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- d.Run(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-ended:
		t.Fatalf("the component ended: %v", err)
	case <-time.After(20 * time.Second):
		t.Fatal("the component is not ready after 20 s")
	}
	return func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("the component ended with %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Error("the component does not end")
		}
	}
}

func ask(t *testing.T, network, name string, kind uint16) *miekg.Msg {
	t.Helper()
	c := &miekg.Client{Net: network, Timeout: 5 * time.Second}
	reply, _, err := c.Exchange(new(miekg.Msg).SetQuestion(name, kind), "10.43.0.10:53")
	if err != nil {
		t.Fatalf("asking for %s by %s: %v", name, network, err)
	}
	return reply
}

// resolver answers every A query at addr with the same address.
func resolver(t *testing.T, addr, answer string) *atomic.Int64 {
	t.Helper()
	pc, err := net.ListenPacket("udp", addr+":53")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", addr+":53")
	if err != nil {
		t.Fatal(err)
	}
	asked := &atomic.Int64{}
	handler := miekg.HandlerFunc(func(w miekg.ResponseWriter, r *miekg.Msg) {
		asked.Add(1)
		m := new(miekg.Msg).SetReply(r)
		rr, _ := miekg.NewRR(r.Question[0].Name + " 60 IN A " + answer)
		m.Answer = append(m.Answer, rr)
		_ = w.WriteMsg(m)
	})
	for _, s := range []*miekg.Server{{PacketConn: pc, Handler: handler}, {Listener: l, Handler: handler}} {
		go func() { _ = s.ActivateAndServe() }()
	}
	t.Cleanup(func() {
		pc.Close()
		l.Close()
	})
	return asked
}

func expect(t *testing.T, reply *miekg.Msg, rcode int, answer string) {
	t.Helper()
	if reply.Rcode != rcode {
		t.Errorf("%s: answer is %s, want %s", reply.Question[0].Name, miekg.RcodeToString[reply.Rcode], miekg.RcodeToString[rcode])
		return
	}
	if answer == "" {
		return
	}
	for _, rr := range reply.Answer {
		if strings.HasSuffix(rr.String(), "\t"+answer) {
			return
		}
	}
	t.Errorf("%s: answers %v, want %s", reply.Question[0].Name, reply.Answer, answer)
}

func TestAnswersForClusterAndOutsideAndStartsAgain(t *testing.T) {
	cfg := setup(t)
	asked := resolver(t, "127.0.0.2", "203.0.113.7")
	write(t, cfg.ResolvConf, "nameserver 10.43.0.10\nnameserver 127.0.0.2\n")
	for range 2 { // in one process
		stop := start(t, cfg, nil)
		for _, network := range []string{"udp", "tcp"} {
			expect(t, ask(t, network, "kubernetes.default.svc.cluster.local.", miekg.TypeA), miekg.RcodeSuccess, "10.43.0.1")
			expect(t, ask(t, network, "1.0.43.10.in-addr.arpa.", miekg.TypePTR), miekg.RcodeSuccess, "kubernetes.default.svc.cluster.local.")
			expect(t, ask(t, network, "_https._tcp.kubernetes.default.svc.cluster.local.", miekg.TypeSRV), miekg.RcodeSuccess, "0 100 443 kubernetes.default.svc.cluster.local.")
			expect(t, ask(t, network, "10-42-0-5.default.pod.cluster.local.", miekg.TypeA), miekg.RcodeSuccess, "10.42.0.5")
			expect(t, ask(t, network, "nothing.default.svc.cluster.local.", miekg.TypeA), miekg.RcodeNameError, "")
			before := asked.Load()
			expect(t, ask(t, network, network+".example.com.", miekg.TypeA), miekg.RcodeSuccess, "203.0.113.7")
			expect(t, ask(t, network, network+".example.com.", miekg.TypeA), miekg.RcodeSuccess, "203.0.113.7")
			if n := asked.Load() - before; n != 1 {
				t.Errorf("the resolver was asked %d times, want 1 and then the cache", n)
			}
		}
		stop()
		if ports := run(t, "ss -Hlntu 'sport = :53'"); strings.Contains(ports, "10.43.0.10") {
			t.Errorf("the port is still taken:\n%s", ports)
		}
	}
}

func TestHostWithoutResolversAnswersServfailAndReportsIt(t *testing.T) {
	cfg := setup(t)
	write(t, cfg.ResolvConf, "\n")
	var reported atomic.Value
	defer start(t, cfg, func(err error) {
		if err != nil {
			reported.Store(err.Error())
		}
	})()
	expect(t, ask(t, "udp", "example.com.", miekg.TypeA), miekg.RcodeServerFailure, "")
	expect(t, ask(t, "udp", "kubernetes.default.svc.cluster.local.", miekg.TypeA), miekg.RcodeSuccess, "10.43.0.1")
	if text, _ := reported.Load().(string); !strings.Contains(text, cfg.ResolvConf) {
		t.Errorf("reported %q, want the file named", text)
	}
}

func TestChangedResolversAreUsed(t *testing.T) {
	cfg := setup(t)
	resolver(t, "127.0.0.2", "203.0.113.2")
	resolver(t, "127.0.0.3", "203.0.113.3")
	write(t, cfg.ResolvConf, "nameserver 127.0.0.2\n")
	d, err := New(cfg, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	up := &upstream{}
	defer up.close()
	k := newKeeper(d, up)
	s, err := listen(t.Context(), cfg.endpoint())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- serve(ctx, cfg.endpoint(), s, up) }()
	defer func() { cancel(); <-served }()
	for conf, answer := range map[string]string{"nameserver 127.0.0.2\n": "203.0.113.2", "nameserver 127.0.0.3\n": "203.0.113.3"} {
		write(t, cfg.ResolvConf, conf)
		if err := k.keep(t.Context()); err != nil {
			t.Fatal(err)
		}
		expect(t, ask(t, "udp", "example.com.", miekg.TypeA), miekg.RcodeSuccess, answer)
	}
}

func TestTakenPortIsToldWithTheRemedy(t *testing.T) {
	cfg := setup(t)
	other, err := net.ListenPacket("udp4", "0.0.0.0:53")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	d, err := New(cfg, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Prepare(t.Context()); err == nil || !strings.Contains(err.Error(), "ss -lnptu") {
		t.Errorf("error %v, want one with the remedy", err)
	}
	other.Close()
	if err := d.Prepare(t.Context()); err != nil {
		t.Errorf("a free port: %v", err)
	}
}

// proxyChains are those of kube-proxy that meet the host's connections.
const proxyChains = `table ip kube-proxy {
	chain cluster-ips-check { ip daddr 10.43.0.0/16 reject comment "address without service"; }
	chain filter-output { type filter hook output priority filter; policy accept; ct state new jump cluster-ips-check; }
	chain filter-forward { type filter hook forward priority filter; policy accept; ct state new jump cluster-ips-check; }
}
`

func TestHostReachesTheServerInSpiteOfKubeProxy(t *testing.T) {
	cfg := setup(t)
	write(t, cfg.ResolvConf, "nameserver 127.0.0.2\n")
	chains := strings.ReplaceAll(proxyChains, "; }", ";\n}")
	rules := filepath.Join(t.TempDir(), "rules")
	write(t, rules, chains)
	run(t, "nft -f "+rules)
	defer start(t, cfg, nil)()
	for _, network := range []string{"udp", "tcp"} {
		expect(t, ask(t, network, "kubernetes.default.svc.cluster.local.", miekg.TypeA), miekg.RcodeSuccess, "10.43.0.1")
	}
	run(t, "nft delete table inet kedge-dns")
	c := &miekg.Client{Timeout: time.Second}
	if _, _, err := c.Exchange(new(miekg.Msg).SetQuestion("kubernetes.default.svc.cluster.local.", miekg.TypeA), "10.43.0.10:53"); err == nil {
		t.Error("the emulated chains let the query pass without our rules: the test proves nothing")
	}
}

func TestHostStateIsRepairedAndRemoved(t *testing.T) {
	cfg := setup(t)
	write(t, cfg.ResolvConf, "nameserver 127.0.0.2\n")
	foreign := `nft 'add table inet foreign; add chain inet foreign c; add rule inet foreign c ip saddr 192.0.2.1 drop comment "mine"'; ip addr add 10.9.9.9/32 dev lo`
	run(t, foreign)
	t.Cleanup(func() { run(t, "ip addr del 10.9.9.9/32 dev lo") })
	const look = "nft -s list ruleset; ip -4 -o addr show dev lo | sed 's/valid_lft.*//'"
	before := run(t, look)
	d, err := New(cfg, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	up := &upstream{}
	defer up.close()
	k := newKeeper(d, up)
	var good string
	for _, breakage := range []string{"true", "true", "nft delete table inet kedge-dns", "nft flush chain inet kedge-dns output", "ip addr del 10.43.0.10/32 dev lo", "ip addr add 10.43.0.11/32 dev lo label lo:kedge scope host"} {
		if err := k.keep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if good == "" {
			good = run(t, look)
		}
		run(t, breakage)
		if err := k.keep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := run(t, look); got != good {
			t.Errorf("after %q:\n%s\nwant\n%s", breakage, got, good)
		}
	}
	for range 2 {
		if err := RemoveAll(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := run(t, look); got != before {
			t.Errorf("after removal:\n%s\nwant\n%s", got, before)
		}
	}
}
