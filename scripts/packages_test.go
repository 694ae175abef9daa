//go:build namespace

package scripts_test

import (
	"os"
	"strings"
	"testing"
)

// packaged makes nft a package that is missing, and has somebody else install
// docker while it comes. What dpkg is to remove is in /run/removed.
func packaged(t *testing.T, m *machine) {
	t.Helper()
	m.run(t, "sh", "-c", "cp /usr/sbin/nft /mnt/nft; rm -f /usr/sbin/nft /sbin/nft; printf 'ii dash\nii nft\n' >/mnt/packages")
	m.shim(t, "dpkg-query", "#!/bin/sh\ncat /mnt/packages\n")
	m.shim(t, "apt-get", `#!/bin/sh
case $1 in install)
	printf 'ii docker\nii libnftables1\nii nftables\n' >>/mnt/packages
	echo 'Selecting previously unselected package libnftables1:amd64.'
	echo 'Selecting previously unselected package nftables.'
	cp /mnt/nft /usr/sbin/nft ;;
esac
`)
	m.shim(t, "dpkg", `#!/bin/sh
case $1 in
--verify) [ ! -f /run/configured ] || [ "$2" != nftables ] || echo '??5?????? c /etc/nftables.conf' ;;
*) echo "$*" >>/run/removed ;;
esac
`)
}

func removed(m *machine) string {
	text, _ := os.ReadFile(m.path("/run/removed"))
	return string(text)
}

// TestPackagesGoWithTheLastOfTheirUsers has two kedges on a host.
func TestPackagesGoWithTheLastOfTheirUsers(t *testing.T) {
	b, m := newBed(t), newMachine(t, large, "dash")
	packaged(t, m)
	m.mustInstall(t, nil, b.node()...)
	m.mustInstall(t, []string{"server", "--data-dir", "/srv/two"}, "INSTALL_KEDGE_FROM="+m.release(t, b), "INSTALL_KEDGE_NAME=two")
	m.run(t, "kedge-uninstall.sh")
	if got := removed(m); got != "" {
		t.Errorf("while another kedge is there, these were removed: %s", got)
	}
	m.run(t, "kedge-two-uninstall.sh")
	if got := strings.TrimSpace(removed(m)); got != "--purge libnftables1 nftables" {
		t.Errorf("with the last one, dpkg was told %q", got)
	}
}

// TestPackagesThatSomebodyConfiguredStay has a person write rules into the file of
// a package that came with kedge: purging it would delete them.
func TestPackagesThatSomebodyConfiguredStay(t *testing.T) {
	b, m := newBed(t), newMachine(t, large, "dash")
	packaged(t, m)
	m.mustInstall(t, nil, b.node()...)
	must(t, os.WriteFile(m.path("/run/configured"), nil, 0o644))
	if out := m.run(t, "kedge-uninstall.sh"); !strings.Contains(out, "nftables stays") {
		t.Errorf("it says:\n%s", out)
	}
	if got := removed(m); strings.Contains(got, " nftables") {
		t.Errorf("dpkg was told %q", got)
	}
}

// TestUninstallWithoutTheProgram is after somebody has removed it by hand.
func TestUninstallWithoutTheProgram(t *testing.T) {
	b, m := newBed(t), newMachine(t, large, "dash")
	m.mustInstall(t, nil, b.node()...)
	m.run(t, "sh", "-c", "mv /usr/local/bin/kedge /mnt/kedge")
	if out, err := m.command(nil, "kedge-uninstall.sh").CombinedOutput(); err == nil || !strings.Contains(string(out), "/var/lib/kedge") {
		t.Errorf("%v\n%s", err, out)
	}
	m.run(t, "sh", "-c", "mkdir -p /var/lib/kedge/data/0123456789abcdef/bin && mv /mnt/kedge /var/lib/kedge/data/0123456789abcdef/bin/kedge")
	m.run(t, "kedge-uninstall.sh")
	m.untouched(t, "run/starts")
}
