package notice

import (
	"cmp"
	"context"
	"time"
)

// Change is something that somebody changed. With nothing but zeros it is not
// known what.
type Change struct {
	// IPv6 tells the family.
	IPv6 bool
	// Table is that of iptables: "mangle", "filter".
	Table string
	// Chain is empty when it is not known, and with changes of a whole table.
	Chain string
	// By is the name of the program, as far as the kernel tells.
	By string
}

// Config says what to watch.
type Config struct {
	// Legacy watches the tables of iptables-legacy, else those of iptables-nft. The
	// tables of the variant that is not in use must not be touched: the kernel
	// makes them as soon as somebody asks for them.
	Legacy bool
	// Tables are those of both families that matter, such as "mangle".
	Tables []string
	// Interval of looking with Legacy; 300 ms when it is 0.
	Interval time.Duration
	// Quiet is how long nothing may change before the caller hears; 20 ms when it
	// is 0. Ten times that is the longest that changes which go on are held back.
	Quiet time.Duration
}

// source is one way to learn of changes.
type source interface {
	// run tells of changes until ctx ends.
	run(ctx context.Context, tell func(Change)) error
	// own runs f and takes what changes meanwhile for the caller's doing.
	own(f func() error) error
}

// Watcher watches the rules of one network namespace.
type Watcher struct {
	source source
	quiet  time.Duration
}

// Open begins to watch the network namespace of the calling thread: what changes
// from now on is told by Run.
func Open(c Config) (*Watcher, error) {
	w := &Watcher{quiet: cmp.Or(c.Quiet, 20*time.Millisecond)}
	var err error
	if c.Legacy {
		w.source, err = openLegacy(c.Tables, cmp.Or(c.Interval, 300*time.Millisecond))
	} else {
		w.source, err = openTables(c.Tables)
	}
	return w, err
}

// Own runs f, in which the caller itself changes rules, and returns its error.
// Run does not tell of them. Of what others change at the same time it may not
// tell either: look at the rules after f. Calls do not overlap.
func (w *Watcher) Own(f func() error) error { return w.source.own(f) }

// Run calls changed with what changed, repetitions left out, each time that it has
// been quiet for a moment, until ctx ends; then the watcher is closed. It can be
// run once.
func (w *Watcher) Run(ctx context.Context, changed func([]Change)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	heard := make(chan Change)
	ended := make(chan error, 1)
	go func() {
		ended <- w.source.run(ctx, func(c Change) {
			select {
			case heard <- c:
			case <-ctx.Done():
			}
		})
	}()
	w.gather(heard, ended, changed)
	return <-ended
}

// most bounds the changes that are told at once; more are as good as unknown.
const most = 256

// gather collects changes until it is quiet. It returns when ended has a value,
// which it leaves there.
func (w *Watcher) gather(heard <-chan Change, ended chan error, changed func([]Change)) {
	var list []Change
	seen := map[Change]bool{}
	quiet, latest := time.NewTimer(0), time.NewTimer(0)
	defer quiet.Stop()
	defer latest.Stop()
	stop(quiet, latest)
	for {
		select {
		case c := <-heard:
			if len(list) == 0 {
				latest.Reset(10 * w.quiet)
			}
			quiet.Reset(w.quiet)
			if !seen[c] && len(list) < most {
				list, seen[c] = append(list, c), true
			}
			continue
		case err := <-ended:
			ended <- err
			return
		case <-quiet.C:
		case <-latest.C:
		}
		stop(quiet, latest)
		if len(list) > 0 {
			changed(list)
		}
		list, seen = nil, map[Change]bool{}
	}
}

func stop(timers ...*time.Timer) {
	for _, t := range timers {
		t.Stop() // and nothing is left in its channel (Go 1.23)
	}
}
