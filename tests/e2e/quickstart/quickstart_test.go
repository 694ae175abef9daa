// Package quickstart is the scenario in README.md.
package quickstart

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/lab"
	"github.com/kedge-io/kedge/tests/lab/cluster"
)

func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }

// tokenLine is what kedge token create prints on standard output.
var tokenLine = regexp.MustCompile(`(?m)^K1[0-9a-f]{64}::[a-z0-9]{6}\.\S+$`)

// copied is what the README tells its reader to copy to the second machine.
const copied = "/var/cache/copied"

func TestQuickStartOfTheREADME(t *testing.T) {
	testx.NeedPrograms(t, "go", "/bin/busybox", "ip", "ps")
	kedge := cluster.Binary(t)
	root, err := testx.RepoRoot()
	cluster.Must(t, err)
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	cluster.Must(t, err)
	todo, err := blocks(string(text))
	cluster.Must(t, err)

	l := lab.New(t, lab.ServerAndEdges(1))
	shells := map[string]*shell{"server": open(t, l.Host("server"), root, environment(t, l.Host("server"))...)}
	for _, h := range l.Hosts() {
		cluster.Must(t, cluster.Install(h, kedge))
	}
	t.Cleanup(func() { describe(t, l) })
	compared, secret := false, ""
	for _, b := range todo {
		if b.host == "edge" && shells["edge"] == nil {
			shells["edge"], secret = second(t, l, shells["server"])
		}
		if shells[b.host] == nil {
			t.Fatalf("README.md:%d: there is no host %q", b.line, b.host)
		}
		if !compared && strings.Contains(b.script, "kedge reset") {
			compareComponents(t, l)
			diagnosed(t, l, secret)
			compared = true
		}
		shells[b.host].run(t, b)
	}
	printed(t, shells["server"], `(?m)^server +Ready`, `(?m)^edge1 +Ready`)
	for _, h := range l.Hosts() {
		nothingLeft(t, h)
	}
}

// environment is what makes a host of the laboratory a machine of its own, with the Go that runs
// this test.
func environment(t *testing.T, h *lab.Host) []string {
	t.Helper()
	env := []string{"KEDGE_CGROUP_ROOT=" + h.CgroupRoot()}
	for _, name := range []string{"GOROOT", "GOCACHE", "GOMODCACHE", "GOPROXY", "GOFLAGS", "CGO_ENABLED"} {
		value, err := exec.CommandContext(t.Context(), "go", "env", name).Output()
		cluster.Must(t, err)
		env = append(env, name+"="+strings.TrimSpace(string(value)))
		if name == "GOROOT" {
			env = append(env, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:"+strings.TrimSpace(string(value))+"/bin")
		}
	}
	return env
}

// second prepares the machine behind NAT: the files that are to be copied, and the two values
// that the reader puts in. It returns the secret half of the token, too.
func second(t *testing.T, l *lab.Lab, server *shell) (edge *shell, secret string) {
	t.Helper()
	h := l.Host("edge1")
	image, err := l.Host("server").ReadFile("/var/lib/kedge/agent/images/web.tar")
	cluster.Must(t, err)
	cluster.Must(t, h.WriteFile(copied+"/web.tar", image, 0o644))
	log, err := os.ReadFile(server.proc.Log())
	cluster.Must(t, err)
	token := tokenLine.FindString(string(log))
	if token == "" {
		t.Fatalf("no token was printed, see %s", server.proc.Log())
	}
	url := "https://" + l.Host("server").IP() + ":6443"
	env := append(environment(t, h), "KEDGE_URL="+url, "KEDGE_TOKEN="+token)
	checked(t, h, env...)
	_, secret, _ = strings.Cut(token, ".")
	return open(t, h, copied, env...), secret
}

// printed looks for patterns in what the shell's commands have printed.
func printed(t *testing.T, s *shell, patterns ...string) {
	t.Helper()
	log, err := os.ReadFile(s.proc.Log())
	cluster.Must(t, err)
	for _, p := range patterns {
		if !regexp.MustCompile(p).Match(log) {
			t.Errorf("%q was not printed, see %s", p, s.proc.Log())
		}
	}
}

// describe prints what a person would look at first, of a test that failed.
func describe(t *testing.T, l *lab.Lab) {
	if !t.Failed() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, h := range l.Hosts() {
		out, errOut, err := h.Run(ctx, "sh", "-c", "kedge status; tail -n 60 /var/log/kedge.log")
		t.Logf("==== %s (%v)\n%s%s", h.Name(), err, out, errOut)
	}
}

// nothingLeft looks for what the last block was to remove.
func nothingLeft(t *testing.T, h *lab.Host) {
	t.Helper()
	out, errOut, err := h.Run(t.Context(), "sh", "-c", "ls -A /var/lib/kedge; ls -d /run/kedge* 2>/dev/null; ip -o link show type bridge; ps -eo args= | grep -E '(^|/)kedge |containerd' | grep -v grep; true")
	if err != nil {
		t.Fatalf("%v: %s", err, errOut)
	}
	if out = strings.TrimSpace(out); out != "" {
		t.Errorf("left on %s:\n%s", h.Name(), out)
	}
}

func TestBlocksOfAText(t *testing.T) {
	got, err := blocks("a\n```sh\nno\n```\n```sh quickstart server\none\ntwo\n```\n```sh quickstart edge\nthree\n```\n")
	if err != nil {
		t.Fatal(err)
	}
	want := []block{{"server", 5, "one\ntwo\n"}, {"edge", 9, "three\n"}}
	if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for _, bad := range []string{"", "```sh quickstart\n```\n", "```sh quickstart server\n"} {
		if got, err := blocks(bad); err == nil {
			t.Errorf("blocks of %q are %+v, want an error", bad, got)
		}
	}
}
