package dns

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestResolversOfTheHost(t *testing.T) {
	cases := map[string]struct{ conf, behind, want string }{
		"plain":                   {"# dhcp\nsearch lan\nnameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.1\noptions edns0\n", "", "192.0.2.1 192.0.2.2"},
		"own address left out":    {"nameserver 10.43.0.10\nnameserver 192.0.2.1\n", "", "192.0.2.1"},
		"mapped own address":      {"nameserver ::ffff:10.43.0.10\nnameserver 192.0.2.1\n", "", "192.0.2.1"},
		"stub":                    {"nameserver 127.0.0.53\n", "nameserver 192.0.2.9\nnameserver 2001:db8::1\n", "192.0.2.9 2001:db8::1"},
		"stub and another":        {"nameserver 127.0.0.53\nnameserver 192.0.2.1\n", "nameserver 192.0.2.9\n", "192.0.2.9 192.0.2.1"},
		"stub with nothing known": {"nameserver 127.0.0.53\n", "", "127.0.0.53"},
		"stub behind the stub":    {"nameserver 127.0.0.53\n", "nameserver 10.43.0.10\n", "127.0.0.53"},
		"zone and unspecified":    {"nameserver fe80::1%eth0\nnameserver 0.0.0.0\n", "", "fe80::1%eth0 127.0.0.1"},
		"garbage":                 {"nameserver\nnameserver dns.example\nnamesever 192.0.2.1\n", "", ""},
		"empty":                   {"", "", ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			r := resolvConfs{path: filepath.Join(dir, "resolv.conf"), real: filepath.Join(dir, "real"), own: netip.MustParseAddr("10.43.0.10")}
			write(t, r.path, c.conf)
			if c.behind != "" {
				write(t, r.real, c.behind)
			}
			got, err := r.read()
			var words []string
			for _, a := range got {
				words = append(words, a.String())
			}
			if strings.Join(words, " ") != c.want {
				t.Errorf("got %v, want %q", words, c.want)
			}
			if (c.want == "") != errors.Is(err, errNoResolvers) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestMissingResolvConfIsAHostWithoutResolvers(t *testing.T) {
	r := newResolvConfs(Config{ResolvConf: filepath.Join(t.TempDir(), "none")})
	if _, err := r.read(); !errors.Is(err, errNoResolvers) || !strings.Contains(err.Error(), r.path) {
		t.Errorf("error %v, want one that names the file", err)
	}
	if r := newResolvConfs(Config{}); r.path != "/etc/resolv.conf" {
		t.Errorf("default is %s", r.path)
	}
}

func TestNotMoreResolversThanTheForwarderTakes(t *testing.T) {
	r := newResolvConfs(Config{ResolvConf: filepath.Join(t.TempDir(), "many")})
	var text strings.Builder
	a := netip.MustParseAddr("192.0.2.1")
	for range 40 {
		text.WriteString("nameserver " + a.String() + "\n")
		a = a.Next()
	}
	write(t, r.path, text.String())
	got, err := r.read()
	if err != nil || len(got) != maxResolvers {
		t.Fatalf("%d resolvers, error %v", len(got), err)
	}
	u := &upstream{}
	defer u.close()
	if changed, err := u.set(got); !changed || err != nil {
		t.Errorf("changed %v, error %v", changed, err)
	}
	if changed, err := u.set(slices.Clone(got)); changed || err != nil {
		t.Errorf("the same resolvers again: changed %v, error %v", changed, err)
	}
}

func TestForwarderTakesEveryKindOfAddress(t *testing.T) {
	u := &upstream{}
	defer u.close()
	for _, text := range []string{"192.0.2.1", "2001:db8::1", "fe80::1%eth0"} {
		if _, err := u.set([]netip.Addr{netip.MustParseAddr(text)}); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestConfigNamesEveryProblem(t *testing.T) {
	err := Config{Address: netip.MustParseAddr("fd00::a"), Domain: "cluster local {"}.Validate()
	for _, want := range []string{"cluster-dns", "cluster-domain", "kubeconfig"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v lacks %q", err, want)
		}
	}
	if err := (Config{Address: netip.MustParseAddr("10.43.0.10"), Domain: "cluster.local", Kubeconfig: "/k"}).Validate(); err != nil {
		t.Error(err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
