package enroll

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/kedge-io/kedge/internal/pki"
	"github.com/kedge-io/kedge/internal/wire"
)

// keepRenewed renews whenever it is due, until ctx ends. The clock is asked
// again and again rather than slept towards, because it may jump; the random
// part spreads nodes that joined together.
func (e *Enroll) keepRenewed(ctx context.Context) {
	failures, failing := 0, false
	var asked *asked
	for {
		e.learnOnce(ctx)
		wait := e.pace.check(e.life())
		wait = wait/2 + rand.N(wait)
		if asked != nil || e.due() {
			err := e.renew(ctx, asked)
			asked.answer(err)
			switch {
			case ctx.Err() != nil:
				return
			case err == nil:
				e.log.Info("certificates renewed", "until", e.end())
				e.config.Report(nil)
				failures, failing = 0, false
			default:
				if !failing {
					e.log.Warn("certificates not renewed, trying again", "until", e.end(), "error", err)
				}
				e.config.Report(fmt.Errorf("renew certificates that end at %s: %w", e.end().UTC().Format(time.RFC3339), err))
				wait = e.again(failures)
				failures, failing = failures+1, true
			}
		} else if !e.timed.Load() && e.config.Issue == nil {
			wait = min(wait, e.again(failures))
			failures++
		}
		var ok bool
		if asked, ok = e.pause(ctx, wait); !ok {
			return
		}
	}
}

// again is the time until the next attempt after so many failures.
func (e *Enroll) again(failures int) time.Duration {
	bound := min(e.pace.first<<min(failures, 16), e.pace.last, max(e.pace.check(e.life()), e.pace.first))
	return bound/2 + rand.N(bound)
}

// pause waits until it is time, somebody wants a look, or a renewal is asked for,
// which it returns. It returns false when ctx has ended.
func (e *Enroll) pause(ctx context.Context, wait time.Duration) (*asked, bool) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return nil, false
	case <-timer.C:
	case <-e.wake:
	case a := <-e.asked:
		return a, true
	}
	return nil, ctx.Err() == nil
}

// look makes the running renewal look at once.
func (e *Enroll) look() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// asked is a renewal that somebody waits for.
type asked struct {
	newKeys bool
	done    chan error
}

func (a *asked) answer(err error) {
	if a != nil {
		a.done <- err
	}
}

// RenewNow makes the running node renew its certificates whatever is due, for
// new keys where wanted, and returns when that is on disk.
func (e *Enroll) RenewNow(ctx context.Context, newKeys bool) error {
	a := &asked{newKeys: newKeys, done: make(chan error, 1)}
	select {
	case e.asked <- a:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-a.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// RenewHandler is [Enroll.RenewNow] at [wire.PathRenewNow]; the parameter
// new-keys=true asks for new keys.
func (e *Enroll) RenewHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			http.Error(w, "POST only", http.StatusMethodNotAllowed)
			return
		}
		if err := e.RenewNow(r.Context(), r.URL.Query().Get("new-keys") == "true"); err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
}

// learnOnce asks the server for the time as long as it is not known.
func (e *Enroll) learnOnce(ctx context.Context) {
	if e.config.Issue != nil || e.timed.Load() {
		return
	}
	if err := e.learnTime(ctx, e.trusted()); err != nil && ctx.Err() == nil {
		e.log.Debug("the server's time is not known", "error", err)
	}
}

// due says whether a certificate ends soon or lacks one of the node's addresses.
func (e *Enroll) due() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	at, _ := span(e.certs)
	return e.addressesChanged || e.following || !e.config.Now().Before(at)
}

func (e *Enroll) end() time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, end := span(e.certs)
	return end
}

// life is that of the certificate that was issued for the shortest time.
func (e *Enroll) life() time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	life := pki.LeafLifetime
	for _, cert := range e.certs {
		life = min(life, pki.Life(cert))
	}
	return life
}

// renew asks for new certificates for the same keys with the present one. One
// that has ended is shown as well: the server takes it, beside the proof of the
// device's key, for as long as its --certificate-grace says. After that only a
// token helps, as it does where all authorities that the node knows are gone.
func (e *Enroll) renew(ctx context.Context, asked *asked) error {
	newKeys := asked != nil && asked.newKeys
	if e.config.Issue != nil {
		return e.issueLocally(ctx, newKeys)
	}
	err := e.renewAtServer(ctx, newKeys)
	if !isPermanent(err) || e.config.Token == "" {
		return err
	}
	record, bad := readRecord(e.files.Record)
	if bad != nil {
		return err
	}
	token, foreign, bad := e.foreignToken(record)
	if bad != nil || (!foreign && e.config.Now().Before(e.end())) {
		return err
	}
	if again := (&attempt{enroll: e, token: token, again: foreign}).try(ctx); again != nil {
		return errors.Join(err, fmt.Errorf("join again with the token: %w", again))
	}
	return e.reload()
}

func (e *Enroll) renewAtServer(ctx context.Context, newKeys bool) error {
	k, err := prepareKeys(e.files, newKeys)
	if err != nil {
		return err
	}
	trusted := e.trusted()
	request, err := k.request(e.config.NodeName, e.config.NodeIPs, trusted)
	if err != nil {
		return err
	}
	client := e.config.newClient(e.TLS(), e.config.Now)
	defer client.closer()
	response, err := client.post(ctx, wire.PathRenew, "", request)
	if err != nil {
		return err
	}
	if !response.Now.IsZero() {
		e.learned(response.Now)
	}
	if err := e.save(k, trusted, response); err != nil {
		return err
	}
	return e.reload()
}
