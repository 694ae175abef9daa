package quickstart

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/kedge-io/kedge/internal/health"
	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/lab"
	"github.com/kedge-io/kedge/tests/lab/cluster"
)

// graph is every component with what it needs, sorted and joined by commas.
type graph map[string]string

// running asks a daemon for its components.
func running(t *testing.T, h *lab.Host) graph {
	t.Helper()
	out, errOut, err := h.Run(t.Context(), "kedge", "status", "-o", "json")
	if err != nil {
		t.Fatalf("kedge status on %s: %v: %s", h.Name(), err, errOut)
	}
	var report health.Report
	cluster.Must(t, json.Unmarshal([]byte(out), &report))
	g := graph{}
	for _, c := range report.Components {
		g[c.Name] = joined(c.Needs)
	}
	return g
}

func joined(needs []string) string { return strings.Join(slices.Sorted(slices.Values(needs)), ",") }

var (
	tableMark = regexp.MustCompile(`^<!-- components (\w+) -->$`)
	code      = regexp.MustCompile("`([^`]+)`")
)

const (
	onServers  = "; on a server also "
	agentsOnly = "(agents only)"
)

// documented reads the tables of components in ARCHITECTURE.md: what a server with its node
// runs and what an agent runs.
func documented(text string) (server, agent graph, err error) {
	server, agent = graph{}, graph{}
	table := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if m := tableMark.FindStringSubmatch(line); m != nil {
			table = m[1]
			continue
		}
		if table == "" || !strings.HasPrefix(line, "| `") {
			if line == "" {
				table = ""
			}
			continue
		}
		cells := strings.Split(line, "|")
		names := words(cells[1])
		if len(names) != 1 || len(cells) < 4 {
			return nil, nil, fmt.Errorf("line %q is not a component", line)
		}
		always, more, _ := strings.Cut(cells[2], onServers)
		if !strings.Contains(cells[1], agentsOnly) {
			server[names[0]] = joined(append(words(always), words(more)...))
		}
		if table == "node" {
			agent[names[0]] = joined(words(always))
		}
	}
	return server, agent, nil
}

// words are the names in backticks.
func words(cell string) []string {
	var out []string
	for _, m := range code.FindAllStringSubmatch(cell, -1) {
		out = append(out, m[1])
	}
	return out
}

// compareComponents holds ARCHITECTURE.md against both daemons.
func compareComponents(t *testing.T, l *lab.Lab) {
	t.Helper()
	root, err := testx.RepoRoot()
	cluster.Must(t, err)
	text, err := os.ReadFile(filepath.Join(root, "ARCHITECTURE.md"))
	cluster.Must(t, err)
	server, agent, err := documented(string(text))
	cluster.Must(t, err)
	for name, want := range map[string]graph{"server": server, "edge1": agent} {
		got := running(t, l.Host(name))
		for c := range maps.Keys(want) {
			if needs, ok := got[c]; !ok || needs != want[c] {
				t.Errorf("ARCHITECTURE.md: component %s on %s needs %q there and %q here (runs: %t)", c, name, want[c], needs, ok)
			}
		}
		for c := range maps.Keys(got) {
			if _, ok := want[c]; !ok {
				t.Errorf("ARCHITECTURE.md lacks component %s, which runs on %s and needs %q", c, name, got[c])
			}
		}
	}
}

func TestTablesOfComponents(t *testing.T) {
	server, agent, err := documented("<!-- components server -->\n| a | b |\n|---|---|\n| `db` | - | x |\n\n| `no` | - | x |\n" +
		"<!-- components node -->\n| `api` | `id`; on a server also `db` | x |\n| `link` (agents only) | `api`, `id` | x |\n")
	if err != nil {
		t.Fatal(err)
	}
	if want := (graph{"db": "", "api": "db,id"}); !maps.Equal(server, want) {
		t.Errorf("server: %v, want %v", server, want)
	}
	if want := (graph{"api": "id", "link": "api,id"}); !maps.Equal(agent, want) {
		t.Errorf("agent: %v, want %v", agent, want)
	}
}
