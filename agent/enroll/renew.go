package enroll

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/kedge-io/kedge/internal/lifecycle"
	"github.com/kedge-io/kedge/internal/pki"
	"github.com/kedge-io/kedge/internal/wire"
)

// keepRenewed renews whenever it is due, until ctx ends. The clock is asked
// again every few hours rather than slept towards, because it may jump; the
// random part spreads nodes that joined together.
func (e *Enroll) keepRenewed(ctx context.Context) {
	delay, failing := e.pace.renewFirst, false
	for {
		wait := e.pace.renewCheck/2 + rand.N(e.pace.renewCheck)
		if e.due() {
			err := e.renew(ctx)
			switch {
			case ctx.Err() != nil:
				return
			case err == nil:
				e.log.Info("certificates renewed", "until", e.end())
				e.config.Report(nil)
				delay, failing = e.pace.renewFirst, false
			default:
				if !failing {
					e.log.Warn("certificates not renewed, trying again", "until", e.end(), "error", err)
				}
				failing = true
				e.config.Report(fmt.Errorf("renew certificates that end at %s: %w", e.end().Format(time.RFC3339), err))
				wait = delay/2 + rand.N(delay)
				delay = min(2*delay, e.pace.renewLast)
			}
		}
		if !lifecycle.Pause(ctx, wait) {
			return
		}
	}
}

// due says whether a certificate ends soon or lacks one of the node's addresses.
func (e *Enroll) due() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	at, _ := span(e.certs)
	return e.addressesChanged || !e.now().Before(at)
}

func (e *Enroll) end() time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, end := span(e.certs)
	return end
}

// renew asks for new certificates for the same keys with the present one.
func (e *Enroll) renew(ctx context.Context) error {
	if e.config.Issue != nil {
		return e.issueLocally(ctx)
	}
	k, err := prepareKeys(e.files)
	if err != nil {
		return err
	}
	e.mu.Lock()
	serverCA := e.serverCA
	e.mu.Unlock()
	request, err := k.request(e.config.NodeName, e.config.NodeIPs, pki.PinOf(serverCA))
	if err != nil {
		return err
	}
	client := e.config.newClient(e.TLS(), e.now)
	defer client.closer()
	response, err := client.post(ctx, wire.PathRenew, "", request)
	if err != nil {
		return err
	}
	if err := e.save(k, serverCA, response); err != nil {
		return err
	}
	return e.reload()
}
