package access_test

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/kedge-io/kedge/tunnel"
	"github.com/kedge-io/kedge/tunnel/access"
)

func rules() access.Rules {
	return access.Rules{
		KubeletPort:   access.KubeletPort,
		PodRanges:     []netip.Prefix{netip.MustParsePrefix("10.42.3.0/24"), netip.MustParsePrefix("fd00:42::/64")},
		HostAddresses: []netip.Addr{netip.MustParseAddr("10.42.3.9"), netip.MustParseAddr("192.168.1.10")},
		HostPorts:     map[uint16]bool{9100: true, 10250: true},
	}
}

func TestAllowGrantsOnlyKubeletAndOwnPods(t *testing.T) {
	for address, want := range map[string]string{
		"127.0.0.1:10250":          "127.0.0.1:10250",
		"[::1]:10250":              "[::1]:10250",
		"[::ffff:127.0.0.1]:10250": "127.0.0.1:10250",
		"10.42.3.2:8443":           "10.42.3.2:8443",
		"[::ffff:10.42.3.2]:80":    "10.42.3.2:80",
		"[fd00:42::7]:443":         "[fd00:42::7]:443",
		"10.42.3.1:9100":           "10.42.3.1:9100", // the bridge of the host
		"10.42.3.9:9100":           "10.42.3.9:9100",
		"192.168.1.10:9100":        "192.168.1.10:9100",
		"[::ffff:10.42.3.1]:9100":  "10.42.3.1:9100",
		"[fd00:42::1]:9100":        "[fd00:42::1]:9100",
	} {
		got, err := rules().Allow(tunnel.Target{Network: "tcp", Address: address})
		if err != nil || got.String() != want {
			t.Errorf("Allow(%s) = %v, %v; want %s", address, got, err, want)
		}
	}
}

func TestAllowRefusesEverythingElse(t *testing.T) {
	for name, target := range map[string]tunnel.Target{
		"other host port":        {Network: "tcp", Address: "127.0.0.1:22"},
		"api endpoint":           {Network: "tcp", Address: "127.0.0.1:6444"},
		"mapped loopback":        {Network: "tcp", Address: "[::ffff:127.0.0.1]:22"},
		"other loopback":         {Network: "tcp", Address: "127.0.0.2:10250"},
		"cloud metadata":         {Network: "tcp", Address: "169.254.169.254:80"},
		"link local":             {Network: "tcp", Address: "[fe80::1%eth0]:80"},
		"cluster api":            {Network: "tcp", Address: "10.43.0.1:443"},
		"other node's pod":       {Network: "tcp", Address: "10.42.4.2:80"},
		"bridge of the host":     {Network: "tcp", Address: "10.42.3.1:22"},
		"host's address":         {Network: "tcp", Address: "192.168.1.10:22"},
		"declared on loopback":   {Network: "tcp", Address: "127.0.0.1:9100"},
		"declared elsewhere":     {Network: "tcp", Address: "192.168.1.11:9100"},
		"declared on metadata":   {Network: "tcp", Address: "169.254.169.254:9100"},
		"other node's bridge":    {Network: "tcp", Address: "10.42.4.1:9100"},
		"declared at the range":  {Network: "tcp", Address: "10.42.3.0:9100"},
		"network address":        {Network: "tcp", Address: "10.42.3.0:22"},
		"broadcast":              {Network: "tcp", Address: "10.42.3.255:22"},
		"host address in range":  {Network: "tcp", Address: "10.42.3.9:22"},
		"unspecified":            {Network: "tcp", Address: "0.0.0.0:10250"},
		"multicast":              {Network: "tcp", Address: "224.0.0.1:80"},
		"name":                   {Network: "tcp", Address: "localhost:10250"},
		"no port":                {Network: "tcp", Address: "10.42.3.2"},
		"port zero":              {Network: "tcp", Address: "10.42.3.2:0"},
		"unix socket":            {Network: "unix", Address: "/run/kedge/kedge.sock"},
		"udp":                    {Network: "udp", Address: "10.42.3.2:53"},
		"internal":               tunnel.TargetProof,
		"empty":                  {},
		"public":                 {Network: "tcp", Address: "198.51.100.7:443"},
		"port with leading plus": {Network: "tcp", Address: "127.0.0.1:+10250"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := rules().Allow(target)
			var refused *tunnel.RefusedError
			if !errors.As(err, &refused) || refused.Kind != tunnel.RefusedAccess {
				t.Fatalf("Allow(%v) = %v, want a refusal", target, err)
			}
		})
	}
}

func TestAllowOfZeroRulesRefusesKubelet(t *testing.T) {
	if ap, err := (access.Rules{}).Allow(tunnel.Target{Network: "tcp", Address: "127.0.0.1:10250"}); err == nil {
		t.Fatalf("allowed %v", ap)
	}
}

func FuzzAllowNeverGrantsLoopbackOrLinkLocal(f *testing.F) {
	f.Add("tcp", "127.0.0.1:10250")
	f.Add("tcp", "[fe80::1%1]:80")
	f.Add("tcp", "10.42.3.1:22")
	wide := access.Rules{KubeletPort: 10250, PodRanges: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}}
	f.Fuzz(func(t *testing.T, network, address string) {
		ap, err := wide.Allow(tunnel.Target{Network: network, Address: address})
		if err != nil {
			return
		}
		if a := ap.Addr(); (a.IsLoopback() && ap.Port() != 10250) || a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified() {
			t.Fatalf("granted %v for %q", ap, address)
		}
	})
}
