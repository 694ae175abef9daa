package agent

import (
	"context"
	"fmt"
	"net/http"

	"k8s.io/component-base/metrics/legacyregistry"

	"github.com/kedge-io/kedge/internal/lifecycle"
	"github.com/kedge-io/kedge/internal/wire"
	"github.com/kedge-io/kedge/tunnel/metrics"
	"github.com/kedge-io/kedge/tunnel/view"
)

// linkReport is what kedge link status shows on a node.
func (a *Agent) linkReport() view.Report {
	s := a.way.spoke.Load()
	if s == nil {
		return view.Report{Role: "agent"}
	}
	r := view.OfSpoke(s.Status())
	for _, at := range a.entry.Status() {
		r.Servers = append(r.Servers, view.Server{
			Address: at.Address, Given: at.Given, State: string(at.State), Since: at.Since,
			Clients: at.Clients, LastError: at.LastError,
		})
	}
	return r
}

// LinkHandlers are what kedge link asks for, by path, for the status socket. A
// server's own node has no link: the server answers there.
func (a *Agent) LinkHandlers() map[string]http.Handler {
	return map[string]http.Handler{
		view.PathStatus:   view.StatusHandler(a.linkReport),
		wire.PathRenewNow: a.enroll.RenewHandler(),
	}
}

// measured adds the metrics of the link, which kubelet serves, to the component
// that keeps it.
func (a *Agent) measured(link lifecycle.Component) lifecycle.Component {
	run := link.Run
	link.Run = func(ctx context.Context, ready func()) error {
		figures := metrics.New(a.linkReport)
		if err := legacyregistry.Registerer().Register(figures); err != nil {
			return fmt.Errorf("register the metrics of the link: %w", err)
		}
		go figures.Run(ctx)
		return run(ctx, ready)
	}
	return link
}
