package datastore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/k3s-io/kine/pkg/drivers"
	// Each import makes a scheme of --datastore-endpoint known to kine.
	_ "github.com/k3s-io/kine/pkg/drivers/mysql"
	_ "github.com/k3s-io/kine/pkg/drivers/nats"
	_ "github.com/k3s-io/kine/pkg/drivers/pgsql"
	kinetls "github.com/k3s-io/kine/pkg/tls"
)

// runExternal serves an external database through kine, or only proves that an
// external etcd answers.
func (s *Store) runExternal(ctx context.Context, fatal <-chan error, ready func()) error {
	files := kinetls.Config{CAFile: s.cfg.CAFile, CertFile: s.cfg.CertFile, KeyFile: s.cfg.KeyFile}
	if slices.Contains(etcdSchemes, scheme(s.cfg.Endpoint)) {
		conf, err := files.ClientConfig()
		if err != nil {
			return fmt.Errorf("datastore certificates: %w", err)
		}
		return s.proveAndWait(ctx, fatal, nil, conf, ready)
	}
	if err := prepareDir(s.cfg.SocketDir); err != nil {
		return err
	}
	kctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	defer work.Wait()
	defer cancel()
	stop := context.AfterFunc(ctx, cancel)
	cfg := kineConfig("")
	cfg.Endpoint, cfg.BackendTLSConfig = s.cfg.Endpoint, files
	// Several servers may share this database; kine's compaction knows that.
	cfg.CompactInterval, cfg.CompactIntervalJitter = 5*time.Minute, 5
	_, backend, err := drivers.New(kctx, &work, cfg)
	if err != nil {
		// The endpoint may carry a password, so only its scheme is named.
		return fmt.Errorf("open external %s datastore: %w", scheme(s.cfg.Endpoint), err)
	}
	stop()
	if err := backend.Start(kctx); err != nil {
		return fmt.Errorf("start kine on external %s datastore: %w", scheme(s.cfg.Endpoint), err)
	}
	i := &instance{name: "external", backend: backend, socket: filepath.Join(s.cfg.SocketDir, "kine.sock")}
	if err := i.listen(); err != nil {
		return err
	}
	defer stopGRPC(i.grpc)
	return s.proveAndWait(ctx, fatal, i.served, nil, ready)
}

func (s *Store) proveAndWait(ctx context.Context, fatal, served <-chan error, conf *tls.Config, ready func()) error {
	if err := proveUse(ctx, s.Endpoints()[0], conf); err != nil {
		return fmt.Errorf("external %s datastore: %w", scheme(s.cfg.Endpoint), err)
	}
	ready()
	select {
	case <-ctx.Done():
		return nil
	case err := <-fatal:
		return err
	case err := <-served:
		return errors.Join(errors.New("etcd API ended"), err)
	}
}
