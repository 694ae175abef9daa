package edgefw

import (
	"log/slog"
	"sync"
	"time"

	"github.com/kedge-io/kedge/edgefw/apply"
	"github.com/kedge-io/kedge/edgefw/model"
)

const (
	// dropEvery is the least time between two lines about one rule.
	dropEvery = 10 * time.Second
	// maxDropRules bounds the rules that are remembered.
	maxDropRules = 1024
)

// dropLog logs refused packets at a limited rate.
type dropLog struct {
	log *slog.Logger

	mu   sync.Mutex
	seen map[string]*dropped
}

// dropped is about one rule.
type dropped struct {
	said time.Time
	// more were not logged since.
	more int
}

func newDropLog(log *slog.Logger) *dropLog { return &dropLog{log: log, seen: map[string]*dropped{}} }

// tell logs one packet, or counts it for the next line about its rule.
func (d *dropLog) tell(p apply.Drop) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.seen[p.Rule]
	if s == nil {
		if len(d.seen) >= maxDropRules {
			clear(d.seen)
		}
		s = &dropped{}
		d.seen[p.Rule] = s
	}
	if time.Since(s.said) < dropEvery {
		s.more++
		return
	}
	what := "packet refused"
	if p.Verdict == model.Log {
		what = "packet noted"
	}
	d.log.Info(what, "rule", p.Rule, "verdict", string(p.Verdict), "protocol", string(p.Protocol), "from", p.From.String(), "to", p.To.String(), "in", p.In, "out", p.Out, "more", s.more)
	s.said, s.more = time.Now(), 0
}
