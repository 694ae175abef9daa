package cluster

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/kedge-io/kedge/internal/health"
	"github.com/kedge-io/kedge/internal/paths"
	"github.com/kedge-io/kedge/tunnel/view"
)

// Logged looks for the first line of the daemon's log that holds all words and was written after
// the time, and returns when that was. Where there is none the error says so.
func (n *Node) Logged(after time.Time, words ...string) (time.Time, error) {
	log, err := os.ReadFile(n.proc.Log())
	if err != nil {
		return time.Time{}, err
	}
	for line := range strings.Lines(string(log)) {
		stamp, rest, ok := strings.Cut(strings.TrimPrefix(line, "time="), " ")
		if !ok || !holds(rest, words) {
			continue
		}
		if at, err := time.Parse(time.RFC3339Nano, stamp); err == nil && at.After(after) {
			return at, nil
		}
	}
	return time.Time{}, fmt.Errorf("the log of %s has no line with %q after %s", n.Name(), words, after.UTC().Format(time.StampMilli))
}

func holds(line string, words []string) bool {
	for _, w := range words {
		if !strings.Contains(line, w) {
			return false
		}
	}
	return true
}

// socket asks the daemon at its status socket.
func (n *Node) socket(ctx context.Context, path string, read func(io.Reader) error) error {
	return health.Ask(ctx, n.Host.Path(paths.New("").StatusSocket()), http.MethodGet, path, read)
}

// Links is what the daemon says about its links.
func (n *Node) Links(ctx context.Context) (view.Report, error) {
	var r view.Report
	err := n.socket(ctx, "/link/status", func(body io.Reader) error { return json.NewDecoder(body).Decode(&r) })
	return r, err
}

// Goroutines counts the goroutines of the daemon that stand in a function whose name holds the word,
// or have one below them.
func (n *Node) Goroutines(ctx context.Context, word string) (int, error) {
	total := 0
	err := n.socket(ctx, "/debug/pprof/goroutine?debug=1", func(body io.Reader) error {
		lines, count, counted := bufio.NewScanner(body), 0, false
		for lines.Scan() {
			line := lines.Text()
			// "12 @ 0x45..." begins a group, "#	0x45...	package.function+0x12	file:line" follow.
			if first, _, ok := strings.Cut(line, " @ "); ok {
				count, _ = strconv.Atoi(first)
				counted = false
			} else if !counted && strings.Contains(line, word) {
				total += count
				counted = true
			}
		}
		return lines.Err()
	})
	return total, err
}
