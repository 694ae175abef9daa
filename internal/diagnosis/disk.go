package diagnosis

import (
	"crypto/x509"
	"time"

	"github.com/kedge-io/kedge/internal/finding"
	"github.com/kedge-io/kedge/internal/health"
	"github.com/kedge-io/kedge/internal/pki"
)

// Database is a file of the datastore. Sizes are bytes.
type Database struct {
	Path                      string
	Bytes, FreeBytes          int64
	LogBytes                  int64
	Revision, CompactRevision int64
}

// From where on a database is worth a word. A cluster of a hundred nodes has some
// 50 MB; the log is folded in at 4 MB; a thousand revisions are kept on purpose, and
// a busy cluster makes some ten thousand between two compactions.
const (
	large, huge = 1 << 30, 4 << 30
	longLog     = 64 << 20
	wasted      = 64 << 20
	lagging     = 200_000
)

func (n Node) databases() []finding.Finding {
	if n.DatabasesError != nil {
		return one(finding.StoreAsk, finding.Warning, "%v", n.DatabasesError)
	}
	var out []finding.Finding
	for _, d := range n.Databases {
		size := finding.OK
		switch {
		case d.Bytes > huge:
			size = finding.Warning
		case d.Bytes > large:
			size = finding.Info
		}
		out = append(out,
			finding.New(finding.StoreSize, size, "%s has %d MiB", d.Path, d.Bytes>>20),
			finding.New(finding.StoreWAL, worseIf(d.LogBytes > longLog, finding.Warning), "the log of %s has %d MiB", d.Path, d.LogBytes>>20),
			finding.New(finding.StoreFree, worseIf(d.FreeBytes > wasted && d.FreeBytes > d.Bytes/2, finding.Info), "%d of %d MiB of %s are free pages", d.FreeBytes>>20, d.Bytes>>20, d.Path),
			finding.New(finding.StoreCompact, worseIf(d.Revision-d.CompactRevision > lagging, finding.Warning), "%s is at revision %d and compacted up to %d", d.Path, d.Revision, d.CompactRevision))
	}
	return out
}

func worseIf(bad bool, s finding.Severity) finding.Severity {
	if bad {
		return s
	}
	return finding.OK
}

// Certificate is a leaf on this host, or why it could not be read.
type Certificate struct {
	Path string
	Cert *x509.Certificate
	Err  error
}

// certificates finds those that are over, and those that should have been renewed
// long ago: a third of the time between the renewal and the end has gone.
func (n Node) certificates() []finding.Finding {
	var out []finding.Finding
	var next time.Time
	for _, c := range n.Certificates {
		if c.Err != nil {
			out = append(out, finding.New(finding.CertAsk, finding.Warning, "%v", c.Err))
			continue
		}
		end, renew := c.Cert.NotAfter, pki.RenewAt(c.Cert)
		late := renew.Add(end.Sub(renew) / 3)
		switch {
		case n.Now.After(end):
			out = append(out, finding.New(finding.CertExpired, finding.Error, "%s is over since %s", c.Path, health.Age(n.Now.Sub(end))))
		case n.Now.After(late):
			out = append(out, finding.New(finding.CertSoon, finding.Warning, "%s ends in %s and should have been renewed %s ago", c.Path, health.Age(end.Sub(n.Now)), health.Age(n.Now.Sub(renew))))
		}
		if next.IsZero() || end.Before(next) {
			next = end
		}
	}
	if len(out) == 0 && !next.IsZero() {
		return one(finding.CertExpired, finding.OK, "%d certificates, the first one ends in %s", len(n.Certificates), health.Age(next.Sub(n.Now)))
	}
	return out
}

// Snapshots is what is known of them.
type Snapshots struct {
	// Last is when the last good one was made; zero for none. Name is its file.
	Last time.Time
	Name string
	// Bad are files that are no whole snapshots.
	Bad []string
	// Off tells that none are made by schedule, Every how long it is from one to the
	// next otherwise; zero where that is not known.
	Off   bool
	Every time.Duration
	Err   error
}

// stale is how old the last snapshot may be: four of the usual intervals, or two of
// longer ones.
const stale = 24 * time.Hour

func (s *Snapshots) stale() time.Duration { return max(stale, 2*s.Every) }

func (n Node) snapshots() []finding.Finding {
	s := n.Snapshots
	if s == nil {
		return nil
	}
	var out []finding.Finding
	if len(s.Bad) > 0 {
		out = append(out, finding.New(finding.SnapshotAsk, finding.Info, "these are no whole snapshots: %s", some(s.Bad)))
	}
	age := n.Now.Sub(s.Last)
	switch {
	case s.Err != nil:
		return append(out, finding.New(finding.SnapshotAsk, finding.Warning, "%v", s.Err))
	case s.Last.IsZero() && n.Down == nil && n.Now.Sub(n.Report.Started) < s.stale() && !s.Off:
		return append(out, finding.New(finding.SnapshotNone, finding.Info, "there is none yet"))
	case s.Last.IsZero():
		return append(out, finding.New(finding.SnapshotNone, finding.Warning, "there is none"))
	}
	return append(out, finding.New(finding.SnapshotAge, worseIf(age > s.stale(), finding.Warning), "the last good one is %s old (%s)", health.Age(age), s.Name))
}
