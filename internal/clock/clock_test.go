package clock

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

var (
	built = time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	today = time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)
	y1970 = time.Unix(30, 0)
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// machine is a clock that a test sets.
type machine struct {
	mu           sync.Mutex
	shows, since time.Time
}

func (m *machine) set(t time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.shows, m.since = t, time.Now()
}

func (m *machine) now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.shows.Add(time.Since(m.since))
}

func open(path string, shows time.Time) (*Clock, *machine) {
	m := &machine{}
	m.set(shows)
	c := Open(path, built, m.now)
	c.synced = func() bool { return false }
	return c, m
}

func same(t *testing.T, got, want time.Time) {
	t.Helper()
	if differ(got, want) {
		t.Fatalf("it is %s, expected %s", got.UTC(), want.UTC())
	}
}

func TestClockIn1970GoesOnFromWhatWasSeenLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "last-seen")
		c, _ := open(path, today)
		if err := c.Save(); err != nil {
			t.Fatal(err)
		}
		c, m := open(path, y1970)
		same(t, c.Now(), today)
		<-time.After(time.Hour)
		same(t, c.Now(), today.Add(time.Hour))
		var wrong *WrongError
		if err := c.Trouble(); !errors.As(err, &wrong) || !strings.Contains(err.Error(), "remove "+path) {
			t.Fatal(err)
		}
		m.set(today.Add(24 * time.Hour))
		same(t, c.Now(), today.Add(24*time.Hour))
		if err := c.Trouble(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestFirstStartIn1970BeginsAtTheProgramsDate(t *testing.T) {
	c, _ := open(filepath.Join(t.TempDir(), "none"), y1970)
	same(t, c.Now(), built)
	c = Open("", time.Time{}, func() time.Time { return y1970 })
	c.synced = func() bool { return false }
	same(t, c.Now(), Epoch)
}

func TestSpoiltFileIsNoReasonToFail(t *testing.T) {
	path := filepath.Join(t.TempDir(), "last-seen")
	if err := os.WriteFile(path, []byte("\x00\x00"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, _ := open(path, today)
	same(t, c.Now(), today)
	if err := c.Save(); err != nil {
		t.Fatal(err)
	}
	if seen, err := read(path); err != nil || !seen.Equal(today) {
		t.Fatal(seen, err)
	}
}

func TestClockFarAheadIsNotBelieved(t *testing.T) {
	c, _ := open("", time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC))
	same(t, c.Now(), built)
}

func TestSynchronisedClockIsBelievedAndMendsTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "last-seen")
	c, _ := open(path, today.AddDate(3, 0, 0))
	if err := c.Save(); err != nil {
		t.Fatal(err)
	}
	c, _ = open(path, today)
	same(t, c.Now(), today.AddDate(3, 0, 0))
	c.synced = func() bool { return true }
	same(t, c.Now(), today)
	if err := c.Save(); err != nil {
		t.Fatal(err)
	}
	c, _ = open(path, today)
	same(t, c.Now(), today)
}

func TestServersTimeCorrectsBothWaysUntilTheClockIsSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, shows := range []time.Time{y1970, today.AddDate(2, 0, 0)} {
			c, m := open("", shows)
			c.Learn(today)
			<-time.After(time.Minute)
			same(t, c.Now(), today.Add(time.Minute))
			if c.Trouble() == nil {
				t.Error("no word about it")
			}
			m.set(today.Add(2 * time.Minute))
			same(t, c.Now(), today.Add(2*time.Minute))
			if err := c.Trouble(); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestComponentSaysEachChangeOnceAndNotesTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "last-seen")
		c, m := open(path, y1970)
		ctx, cancel := context.WithCancel(t.Context())
		var said []bool
		component := c.Component(slog.New(slog.DiscardHandler), func(err error) { said = append(said, err != nil) })
		done := make(chan error)
		go func() { done <- component.Run(ctx, func() {}) }()
		<-time.After(5 * time.Minute)
		m.set(today)
		<-time.After(2 * time.Hour)
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if len(said) != 2 || !said[0] || said[1] {
			t.Fatal("said", said)
		}
		seen, err := read(path)
		if err != nil {
			t.Fatal(err)
		}
		same(t, seen, today.Add(2*time.Hour))
	})
}

func TestReadOnlyDiskStopsNothing(t *testing.T) {
	c, _ := open("/proc/none/last-seen", today)
	if c.Save() == nil {
		t.Fatal("saved where nothing can be")
	}
	same(t, c.Now(), today)
}
