package hostports

import (
	"slices"
	"testing"
)

func TestDeclaredPorts(t *testing.T) {
	tcp, udp := func(n uint16) Port { return Port{TCP, n} }, func(n uint16) Port { return Port{UDP, n} }
	for name, c := range map[string]struct {
		containers []string
		want       []Port
	}{
		"nothing":          {},
		"no annotation":    {[]string{""}, nil},
		"not JSON":         {[]string{"{"}, nil},
		"not a list":       {[]string{`{"containerPort":80}`}, nil},
		"default protocol": {[]string{`[{"containerPort":80}]`}, []Port{tcp(80)}},
		"kubelet's form": {
			[]string{`[{"name":"m","hostPort":9100,"containerPort":9100,"protocol":"TCP"},{"name":"d","hostPort":53,"containerPort":53,"protocol":"UDP"}]`},
			[]Port{tcp(9100), udp(53)},
		},
		"two containers":      {[]string{`[{"containerPort":81}]`, `[{"containerPort":80},{"containerPort":81}]`}, []Port{tcp(80), tcp(81)}},
		"SCTP":                {[]string{`[{"containerPort":80,"protocol":"SCTP"}]`}, nil},
		"too large":           {[]string{`[{"containerPort":65536},{"containerPort":0},{"containerPort":-1},{"containerPort":65616}]`}, nil},
		"bound to loopback":   {[]string{`[{"containerPort":80,"hostIP":"127.0.0.1"},{"containerPort":81,"hostIP":"::1"}]`}, nil},
		"bound to an address": {[]string{`[{"containerPort":80,"hostIP":"192.168.1.5"}]`}, []Port{tcp(80)}},
		"one bad, one good":   {[]string{`[`, `[{"containerPort":80}]`}, []Port{tcp(80)}},
	} {
		t.Run(name, func(t *testing.T) {
			var containers []map[string]string
			for _, text := range c.containers {
				containers = append(containers, map[string]string{Annotation: text, "other": "x"})
			}
			if got := Declared(containers); !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func FuzzDeclaredNeverPanics(f *testing.F) {
	f.Add(`[{"containerPort":80,"protocol":"TCP"}]`)
	f.Fuzz(func(t *testing.T, text string) {
		for _, p := range Declared([]map[string]string{{Annotation: text}}) {
			if p.Number == 0 || (p.Protocol != TCP && p.Protocol != UDP) {
				t.Fatalf("%q gave %v", text, p)
			}
		}
	})
}
