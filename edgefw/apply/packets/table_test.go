//go:build namespace

package packets

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"github.com/kedge-io/kedge/edgefw/model"
)

// ruling is a ruleset, and packets with what is to become of each. A line is
//
//	WHO PROTOCOL TO[:PORT] OUTCOME
//
// such as "stranger tcp host:80 dropped". WHO is somebody outside, the node (with
// "+link" as kedge's own socket to its server), its pod or its container. The
// protocol is tcp, udp or icmp for IPv4 and IPv6, where both ends have addresses
// of both, else tcp4, udp6 and so on. The outcome is dropped, refused or the name
// of the place that answers: host, outside, pod, docker.
type ruling struct {
	name      string
	firewalls []model.Firewall
	// facts changes those of the node.
	facts func(*model.Facts)
	// isServer makes the node a server's own.
	isServer bool
	balanced []model.Balanced
	// inventory changes the fleet.
	inventory func(*model.Inventory)
	packets   string
}

// probes are those of all lines, for both families.
func (r ruling) probes(t testing.TB) []probe {
	t.Helper()
	var all []probe
	for line := range strings.Lines(r.packets) {
		line = strings.Join(strings.Fields(line), " ")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		some, err := parseLine(line)
		if err != nil {
			t.Fatalf("%s: %q: %v", r.name, line, err)
		}
		all = append(all, some...)
	}
	return all
}

func parseLine(line string) ([]probe, error) {
	words := strings.Fields(line)
	if len(words) != 4 {
		return nil, fmt.Errorf("%d words, want 4", len(words))
	}
	who, mark := words[0], uint32(0)
	if plain, ok := strings.CutSuffix(who, "+link"); ok {
		who, mark = plain, model.LinkMark
	}
	name, portText, _ := strings.Cut(words[2], ":")
	port, err := strconv.Atoi("0" + portText)
	if err != nil {
		return nil, err
	}
	protocol, families := familiesOf(words[1])
	var all []probe
	for _, family := range families {
		p := probe{line: line, family: family, who: who, to: name, protocol: protocol, mark: mark, want: words[3]}
		dest, ok := address(name, family)
		if p.dest = netip.AddrPortFrom(dest, uint16(port)); !ok {
			continue
		}
		if who != "node" {
			if p.from, ok = address(who, family); !ok {
				continue
			}
		}
		all = append(all, p)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no family in which both ends have an address")
	}
	return all, nil
}

func familiesOf(word string) (model.Protocol, []int) {
	if plain, ok := strings.CutSuffix(word, "4"); ok {
		return model.Protocol(plain), []int{4}
	}
	if plain, ok := strings.CutSuffix(word, "6"); ok {
		return model.Protocol(plain), []int{6}
	}
	return model.Protocol(word), []int{4, 6}
}

// name is that of a probe's test.
func (p probe) name() string { return fmt.Sprintf("IPv%d %s", p.family, p.line) }
