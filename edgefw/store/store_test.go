package store

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/internal/fsx"
)

func example() *State {
	return &State{
		Revision: 7,
		Ruleset: &model.Ruleset{
			Host: model.HostRules{Cut: true, Ingress: model.Chain{
				Rules:   []model.HostRule{{ID: "a/ingress/b", Action: model.Allow, Protocol: model.TCP, Ports: []model.PortRange{model.Port(22)}, Peers: []model.SetID{"set/offices", "dns/a.example"}}},
				Default: model.Deny, DefaultFrom: "a",
			}},
			Sets: map[model.SetID]model.Set{
				"set/offices":   {Prefixes: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")}},
				"dns/a.example": {Name: "a.example"},
				"pods/1":        {Pods: []string{"uid-1"}},
			},
		},
		Facts:   model.Facts{Servers: []netip.AddrPort{netip.MustParseAddrPort("198.51.100.1:6443")}, PodRange: netip.MustParsePrefix("10.42.1.0/24")},
		Names:   map[string][]netip.Addr{"a.example": {netip.MustParseAddr("203.0.113.1")}},
		Refused: []Refusal{{Keys: []string{"host/00ff"}, Revision: 6, Reason: "cut", At: time.Unix(1e9, 0).UTC()}},
	}
}

func TestWhatWasWrittenIsRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "firewall.json")
	if _, err := Read(file); !errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrDamaged) {
		t.Errorf("without a file: %v", err)
	}
	for i, want := range []bool{true, false} {
		if wrote, err := Write(file, example()); err != nil || wrote != want {
			t.Errorf("write %d: wrote %v, %v", i, wrote, err)
		}
	}
	got, err := Read(file)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, example()) {
		t.Errorf("read %+v", got)
	}
}

func TestNoChangedByteIsBelieved(t *testing.T) {
	data, err := encode(example())
	if err != nil {
		t.Fatal(err)
	}
	for i := range data[:len(data)-1] { // a line end may go
		changed := append([]byte(nil), data...)
		changed[i] ^= 1
		if s, err := decode(changed); err == nil && !reflect.DeepEqual(s, example()) {
			t.Fatalf("byte %d changed: %+v", i, s)
		}
	}
	for n := range len(data) - 2 {
		if _, err := decode(data[:n]); err == nil {
			t.Fatalf("cut at %d of %d bytes, it was read", n, len(data))
		}
	}
}

func TestWhatIsThereAndNotReadableIsDamaged(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"empty": "", "zeros": string(make([]byte, 4096)), "other": `{"version":2,"sha256":"","state":{}}`,
		"bare": `{"version":1,"sha256":"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","state":{}}`,
	} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(file); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Read(dir); !errors.Is(err, ErrDamaged) { // as an input/output error
		t.Errorf("a folder: %v", err)
	}
}

func TestAFailedWriteLeavesTheFormerFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "firewall.json")
	if _, err := Write(file, example()); err != nil {
		t.Fatal(err)
	}
	blocked := filepath.Join(dir, "blocked")
	if err := fsx.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Write(filepath.Join(blocked, "firewall.json"), example()); err == nil {
		t.Error("a write below a file succeeded")
	}
	if s, err := Read(file); err != nil || s.Revision != 7 {
		t.Errorf("the former file: %+v, %v", s, err)
	}
}
