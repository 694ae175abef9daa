package clock

import (
	"context"
	"log/slog"
	"time"

	"github.com/kedge-io/kedge/internal/lifecycle"
)

// ComponentName is the word for this part in logs and health.
const ComponentName = "clock"

const (
	// saveInterval is how much time a power cut may take from what is known. An
	// hour is far below the life of a certificate, and 24 small writes a day are
	// nothing to flash.
	saveInterval = time.Hour
	// lookInterval is how soon a clock that went wrong or right is noticed.
	lookInterval = 10 * time.Second
)

// Component returns the part that notes the time and tells report while the
// machine's clock is wrong, and nil when it is right again.
func (c *Clock) Component(log *slog.Logger, report func(error)) lifecycle.Component {
	return lifecycle.Component{
		Name: ComponentName,
		Run: func(ctx context.Context, ready func()) error {
			w := &watch{clock: c, log: log, report: report}
			w.look()
			w.save()
			ready()
			save, look := time.NewTicker(saveInterval), time.NewTicker(lookInterval)
			defer save.Stop()
			defer look.Stop()
			for {
				select {
				case <-ctx.Done():
					w.save()
					return nil
				case <-look.C:
					w.look()
				case <-save.C:
					w.save()
				}
			}
		},
	}
}

// watch says each change once.
type watch struct {
	clock  *Clock
	log    *slog.Logger
	report func(error)

	wrong, unsaved bool
}

func (w *watch) look() {
	err := w.clock.Trouble()
	switch {
	case err != nil && !w.wrong:
		w.log.Warn("clock is wrong", "error", err)
		w.report(err)
	case err == nil && w.wrong:
		w.log.Info("clock is right again")
		w.report(nil)
		w.save()
	}
	w.wrong = err != nil
}

func (w *watch) save() {
	err := w.clock.Save()
	if err != nil && !w.unsaved {
		w.log.Warn("time not noted", "error", err)
	}
	w.unsaved = err != nil
}
