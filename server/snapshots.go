package server

import (
	"fmt"
	"net/http"
	"strings"

	"k8s.io/component-base/metrics/legacyregistry"

	"github.com/kedge-io/kedge/internal/health"
	"github.com/kedge-io/kedge/internal/lifecycle"
	"github.com/kedge-io/kedge/internal/paths"
	"github.com/kedge-io/kedge/internal/pki"
	"github.com/kedge-io/kedge/internal/version"
	"github.com/kedge-io/kedge/internal/wire"
	"github.com/kedge-io/kedge/server/certs"
	"github.com/kedge-io/kedge/server/datastore"
	"github.com/kedge-io/kedge/server/datastore/snapshot"
	"github.com/kedge-io/kedge/server/datastore/snapshot/metrics"
)

// Snapshots says how the datastore is saved.
type Snapshots struct {
	snapshot.Settings
	// Remote keeps copies elsewhere; nil for none.
	Remote snapshot.Remote
}

// SnapshotConfig describes the snapshots of the server whose files are below
// layout, whether it runs or not. Clock, reports and log are left to the caller.
func SnapshotConfig(layout paths.Layout, node, datastoreEndpoint string, s Snapshots) snapshot.Config {
	kind, _, _ := strings.Cut(datastoreEndpoint, "://")
	return snapshot.Config{
		Settings: s.Settings, Remote: s.Remote, Node: node, External: kind,
		Server: layout.Server(), Database: layout.Database(), Token: layout.RecoveryToken(),
		Copy: datastore.Copy,
		Pin: func() (wire.Pin, error) {
			cert, err := pki.ReadCert(certs.NewPaths(layout).ServerCA.Cert)
			if err != nil {
				return wire.Pin{}, fmt.Errorf("the server's authority: %w", err)
			}
			return pki.PinOf(cert), nil
		},
		Versions: snapshot.Versions{Kedge: version.Kedge, Kubernetes: version.Kubernetes(), SQLite: version.SQLite()},
	}
}

func (s *Server) buildSnapshots(report Report) error {
	cfg := SnapshotConfig(s.cfg.Layout, s.cfg.NodeName, s.cfg.Datastore.Endpoint, s.cfg.Snapshots)
	cfg.Now, cfg.Log = s.cfg.Now, s.log.With("component", snapshot.Name)
	cfg.Report = func(err error) { report(snapshot.Name, err) }
	s.snapshots = snapshot.New(cfg)
	if err := legacyregistry.Registerer().Register(metrics.New(s.snapshots.State)); err != nil {
		return fmt.Errorf("register the metrics of snapshots: %w", err)
	}
	return nil
}

// snapshotComponents is empty with an external datastore, which is saved with its
// own tools.
func (s *Server) snapshotComponents() []lifecycle.Component {
	if s.cfg.Datastore.Endpoint != "" {
		return nil
	}
	return []lifecycle.Component{s.snapshots.Component(datastore.Name)}
}

// SnapshotHandlers answer at the status socket.
func (s *Server) SnapshotHandlers() map[string]http.Handler { return s.snapshots.Handlers() }

// Conditions are facts about the server that change while it runs.
func (s *Server) Conditions() []health.Condition {
	return []health.Condition{s.snapshots.Condition()}
}
