//go:build namespace

package scripts_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
)

// served is the script as the server hands it out.
func (b *bed) served(t *testing.T) []byte {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec // it is the bed's own
	answer, err := client.Get(b.url + "/install.sh")
	must(t, err)
	defer answer.Body.Close()
	script, err := io.ReadAll(answer.Body)
	must(t, err)
	return script
}

// TestDataDirectoryOfTheConfigurationFile has it where only the daemon looks.
func TestDataDirectoryOfTheConfigurationFile(t *testing.T) {
	for name, c := range map[string]struct {
		file, text string
		args       []string
	}{
		"default": {"/etc/kedge/config.yaml", "debug: true\ndata-dir: \"/srv/kedge\" # the large disk\n", []string{"agent"}},
		"drop-in": {"/etc/kedge/config.yaml.d/1.yaml", "data-dir: /srv/kedge\n", nil},
		"another": {"/etc/site.yaml", "data-dir: '/srv/kedge'", []string{"agent", "--config", "/etc/site.yaml"}},
	} {
		t.Run(name, func(t *testing.T) {
			b, m := newBed(t), newMachine(t, large, "dash")
			m.run(t, "mkdir", "-p", "/etc/kedge/config.yaml.d")
			must(t, os.WriteFile(m.path(c.file), []byte(c.text), 0o644))
			m.mustInstall(t, c.args, b.node()...)
			for _, script := range []string{"killall", "uninstall"} {
				if text := m.run(t, "cat", "/usr/local/bin/kedge-"+script+".sh"); !strings.Contains(text, `--data-dir "/srv/kedge"`) {
					t.Errorf("%s is about another data directory:\n%s", script, text)
				}
			}
			if text := m.run(t, "cat", "/mnt/asked"); strings.Contains(text, "/var/lib/kedge") || !strings.Contains(text, "/srv/kedge") {
				t.Errorf("the program was called for these data directories:\n%s", text)
			}
		})
	}
}

// TestNodeIsNotTurnedIntoSomethingElse gives a host that has data another role, or
// another place for them.
func TestNodeIsNotTurnedIntoSomethingElse(t *testing.T) {
	b, m := newBed(t), newMachine(t, large, "dash")
	m.mustInstall(t, []string{"agent", "--data-dir", "/srv/kedge"}, b.node()...)
	before := m.run(t, "cat", "/etc/kedge/kedge.env")
	for _, c := range []struct{ args, words string }{
		{"server", "kedge-uninstall.sh"},
		{"agent --debug", "--data-dir /srv/kedge"},
	} {
		out, err := m.install(strings.Fields(c.args))
		if err == nil || !strings.Contains(out, c.words) || !strings.Contains(out, "Nothing was changed") {
			t.Errorf("%s: %v\n%s", c.args, err, out)
		}
	}
	if after := m.run(t, "cat", "/etc/kedge/kedge.env"); after != before {
		t.Errorf("the settings were\n%s and are\n%s", before, after)
	}
	m.mustInstall(t, []string{"agent", "--debug", "--data-dir=/srv/kedge/"})
	m.run(t, "/usr/local/bin/kedge-uninstall.sh")

	m.mustInstall(t, []string{"server", "--tls-san", "edge.example.org"}, "INSTALL_KEDGE_FROM="+m.release(t, b))
	m.mustFail(t, []string{"installed here as server", "kedge-uninstall.sh"}, b.node()...)
}

// TestSudoTakesVariablesAway runs the line of a node behind sudo, which leaves
// nothing of it but the script.
func TestSudoTakesVariablesAway(t *testing.T) {
	b, m := newBed(t), newMachine(t, large, "dash")
	m.script = b.served(t)
	m.mustFail(t, []string{"sudo KEDGE_URL=", "Nothing was changed"}, "SUDO_USER=person")
	m.untouched(t)
	m.mustInstall(t, nil, "SUDO_USER=person", "KEDGE_TOKEN="+b.token())
	started(t, m, "1.0 "+b.url+" agent")
	m.mustInstall(t, nil, "SUDO_USER=person")
	m.run(t, "/usr/local/bin/kedge-uninstall.sh")
	m.mustInstall(t, []string{"server"}, "SUDO_USER=person")
	started(t, m, "1.0 "+b.url+" agent", "1.0  server")
}

// TestNodesOlderThanTheAuthorityAreUpgraded has a node that joined with a token of
// an authority which was replaced since.
func TestNodesOlderThanTheAuthorityAreUpgraded(t *testing.T) {
	b, m := newBed(t), newMachine(t, large, "dash")
	m.mustInstall(t, nil, b.node()...)
	old := "K1" + strings.Repeat("ab", 32) + "::abcdef.abcdefghijklmnopqrstuvwxyz"
	m.run(t, "sed", "-i", "s/^KEDGE_TOKEN=.*/KEDGE_TOKEN='"+old+"'/", "/etc/kedge/kedge.env")
	b.program(t, "2.0")
	m.mustFail(t, []string{"older than the cluster's authority", "make a new one"})
	m.script = b.served(t)
	m.mustFail(t, []string{"the token names"}, "KEDGE_TOKEN="+old) // somebody says so now
	m.mustInstall(t, nil)
	started(t, m, "1.0 "+b.url+" agent", "2.0 "+b.url+" agent")
}

// TestUpgradeThatWasCutIsTakenUp kills the script when the new program is in place
// and the former one still runs.
func TestUpgradeThatWasCutIsTakenUp(t *testing.T) {
	b, m := newBed(t), newMachine(t, large, "dash")
	m.mustInstall(t, nil, b.node()...)
	b.program(t, "2.0")
	m.shim(t, "mv", "#!/bin/sh\n/bin/mv \"$@\"\ncase $* in */usr/local/bin/kedge) kill -9 $PPID ;; esac\n")
	if out, err := m.install(nil); err == nil {
		t.Fatalf("it was not killed:\n%s", out)
	}
	must(t, os.Remove(m.path("/mnt/shim/mv")))
	started(t, m, "1.0 "+b.url+" agent")
	m.mustInstall(t, nil)
	started(t, m, "1.0 "+b.url+" agent", "2.0 "+b.url+" agent")
	if out := m.mustInstall(t, nil); !strings.Contains(out, "nothing was changed") {
		t.Errorf("and again, it says:\n%s", out)
	}

	// A person may put a program in place, too.
	m.run(t, "sed", "-i", "s/kedge 2.0/kedge 3.0/; s/2.0 \\$KEDGE_URL/3.0 $KEDGE_URL/", "/usr/local/bin/kedge")
	m.mustInstall(t, nil, "INSTALL_KEDGE_SKIP_DOWNLOAD=true")
	started(t, m, "1.0 "+b.url+" agent", "2.0 "+b.url+" agent", "3.0 "+b.url+" agent")
}

// TestWhatIsNotReadyIsSaidEachTime repeats the command of a node that does not get on.
func TestWhatIsNotReadyIsSaidEachTime(t *testing.T) {
	b, m := newBed(t), newMachine(t, large, "dash")
	must(t, os.WriteFile(m.path("/run/unready"), nil, 0o644))
	for range 2 {
		m.mustFail(t, []string{"not ready yet", "enrolment waits", "this token has ended"}, b.node()...)
	}
	m.mustInstall(t, nil, append(b.node(), "INSTALL_KEDGE_WAIT=0")...)
	must(t, os.Remove(m.path("/run/unready")))
	if out := m.mustInstall(t, nil, b.node()...); !strings.Contains(out, "nothing was changed") {
		t.Errorf("when it is ready, it says:\n%s", out)
	}
	started(t, m, "1.0 "+b.url+" agent")
}

// TestProgramsAreOnDiskBeforeTheyCount cannot cut the power: it looks at the order.
func TestProgramsAreOnDiskBeforeTheyCount(t *testing.T) {
	b, m := newBed(t), newMachine(t, large, "dash")
	for _, name := range []string{"sync", "mv"} {
		m.shim(t, name, fmt.Sprintf("#!/bin/sh\necho %s \"$@\" >>/run/order\nexec /bin/%[1]s \"$@\"\n", name))
	}
	m.mustInstall(t, nil, b.node()...)
	synced := map[string]bool{}
	for line := range strings.Lines(m.run(t, "cat", "/run/order")) {
		words := strings.Fields(line)
		if words[0] == "sync" {
			synced[words[1]] = true
		} else if !synced[words[2]] {
			t.Errorf("%s got its place before its bytes were on disk", words[2])
		}
	}
	if len(synced) < 5 {
		t.Errorf("on disk were %v", synced)
	}
}

// TestShellsThatPeopleHave runs the script as su without a dash and a strict umask
// leave it, in a folder that is to be unmounted later.
func TestShellsThatPeopleHave(t *testing.T) {
	b, m := newBed(t), newMachine(t, large, "sh", "-c", `umask 077; cd /mnt; exec dash "$@"`, "dash")
	m.shim(t, "apt-get", "#!/bin/sh\nexit 1\n")
	m.mustInstall(t, nil, append(b.node(), "PATH=/mnt/shim:/usr/bin:/bin", "INSTALL_KEDGE_BIN_DIR=/opt/kedge",
		`INSTALL_KEDGE_EXEC=agent --node-label "site=12 b" --node-taint 'a=b:NoSchedule'`)...)
	started(t, m, "1.0 "+b.url+" agent --node-label site=12 b --node-taint a=b:NoSchedule")
	for file, mode := range map[string]os.FileMode{"/opt/kedge": 0o755, "/opt/kedge/kedge": 0o755, "/etc/kedge": 0o755, "/etc/kedge/kedge.env": 0o600, "/run/starts": 0o644} {
		info, err := os.Stat(m.path(file))
		must(t, err)
		if info.Mode().Perm() != mode {
			t.Errorf("%s has the mode %v, want %v", file, info.Mode().Perm(), mode)
		}
	}
	if out := m.run(t, "sh", "-c", `for p in $(pidof sleep); do tr '\0' ' ' </proc/$p/cmdline | grep -q 1000000 && readlink /proc/$p/cwd; done; true`); out != "/\n" {
		t.Errorf("kedge runs in %q", out)
	}
	out, err := m.install(nil, `INSTALL_KEDGE_EXEC=agent --node-label "a`, "INSTALL_KEDGE_BIN_DIR=/opt/kedge")
	if err == nil || !strings.Contains(out, "a quote is not closed") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestFoldersThatCannotBeWrittenAreNamed(t *testing.T) {
	b, m := newBed(t), newMachine(t, large, "dash")
	m.run(t, "mount", "-t", "tmpfs", "-o", "ro", "none", "/usr/local/bin")
	m.clean = m.files(t)
	m.mustFail(t, []string{"Read-only file system", "INSTALL_KEDGE_BIN_DIR", "Nothing was changed"}, b.node()...)
	m.untouched(t)
	m.mustInstall(t, nil, append(b.node(), "INSTALL_KEDGE_BIN_DIR=/opt/bin")...)
	started(t, m, "1.0 "+b.url+" agent")
}

// TestProxyIsKeptForLaterRuns goes on by a proxy that is out of order now.
func TestProxyIsKeptForLaterRuns(t *testing.T) {
	b, m := newBed(t), newMachine(t, large, "dash")
	m.mustInstall(t, nil, b.node()...)
	m.run(t, "sh", "-c", "echo \"https_proxy='http://127.0.0.1:1'\" >>/etc/kedge/kedge.env")
	m.mustFail(t, []string{"does not answer"})
	m.mustInstall(t, nil, "https_proxy=")
	if text := m.run(t, "cat", "/etc/kedge/kedge.env"); strings.Contains(text, "proxy") {
		t.Errorf("settings are\n%s", text)
	}
}

// TestSupervisorDoesNotWaitForWhatCannotStart calls it as a boot does.
func TestSupervisorDoesNotWaitForWhatCannotStart(t *testing.T) {
	b, m := newBed(t), newMachine(t, large, "dash")
	m.mustInstall(t, nil, b.node()...)
	m.run(t, "sh", "-c", "kedge-service stop; for i in 1 2 3 4 5; do kedge-service start & done; wait")
	if out := m.run(t, "sh", "-c", "kedge-service status; ps ax | grep -c 'kedge-service ru[n]'"); !strings.HasSuffix(out, "\n1\n") {
		t.Errorf("after five starts at once:\n%s", out)
	}
	m.run(t, "sh", "-c", "kedge-service stop; rm /etc/kedge/kedge.env")
	if out, err := m.command(nil, "kedge-service", "start").CombinedOutput(); err == nil || !bytes.Contains(out, []byte("/var/log/kedge.log")) {
		t.Errorf("without settings: %v\n%s", err, out)
	}
}
