package restore

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kedge-io/kedge/internal/fsx"
	"github.com/kedge-io/kedge/internal/paths"
	"github.com/kedge-io/kedge/internal/pki"
	"github.com/kedge-io/kedge/server/certs"
	"github.com/kedge-io/kedge/server/datastore/snapshot"
)

// ErrNeedsToken tells that a restore cannot go on without the recovery token.
var ErrNeedsToken = errors.New("the recovery token of the cluster is needed")

// owner is whose a data directory is.
type owner struct {
	// present tells that it has an identity, and that this is of the cluster of
	// the snapshot.
	present bool
	// token opens the identity in the snapshot; nil if there is none, which is
	// possible only if an identity is present.
	token *snapshot.Token
}

// owner compares the data directory with the snapshot.
func (r Request) owner(m snapshot.Manifest) (owner, error) {
	have := hasIdentity(r.Layout)
	own, err := snapshot.ReadToken(r.Layout.RecoveryToken())
	switch {
	case err == nil && own.ID() == m.Recovery:
		return owner{present: have, token: &own}, nil
	case err == nil && have:
		return owner{}, fmt.Errorf("data directory %s belongs to another cluster than snapshot %s: choose another --data-dir, or remove that cluster from this host with kedge reset", r.Layout.DataDir, r.Name)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return owner{}, err
	case have && sameAuthority(r.Layout, m):
		return owner{present: true, token: r.Token}, nil
	case have:
		return owner{}, fmt.Errorf("%s holds keys but no recovery token, and they are not those of snapshot %s: if they are of no use, move the folders tls and cred away and try again", r.Layout.Server(), r.Name)
	case r.Token == nil:
		return owner{}, fmt.Errorf("%w: %s has no keys of the cluster of snapshot %s, and those in the snapshot are sealed: give the token with --recovery-token-file (on the former server, kedge snapshot token has shown it)", ErrNeedsToken, r.Layout.DataDir, r.Name)
	case r.Token.ID() != m.Recovery:
		return owner{}, fmt.Errorf("%w: it is that of another cluster. Nothing was changed", snapshot.ErrWrongToken)
	}
	return owner{token: r.Token}, nil
}

// sameAuthority tells that the data directory's authority is that of the
// snapshot.
func sameAuthority(l paths.Layout, m snapshot.Manifest) bool {
	found, err := pki.ReadCerts(certs.NewPaths(l).ServerCA.Cert)
	return err == nil && slices.ContainsFunc(found, func(c *x509.Certificate) bool { return pki.PinOf(c).String() == m.Cluster })
}

// hasIdentity tells that the folder of a server holds what its database cannot
// be used without.
func hasIdentity(l paths.Layout) bool {
	p := certs.NewPaths(l)
	for _, f := range []string{p.ServerCA.Key, p.ClientCA.Key, p.ServiceKey, p.EncryptionConfig} {
		if !exists(f) {
			return false
		}
	}
	return true
}

// open opens the identity of the snapshot.
func (o owner) open(sealed []byte) (snapshot.Identity, error) {
	if o.token == nil {
		return nil, nil
	}
	id, err := snapshot.OpenIdentity(sealed, *o.token)
	if err != nil {
		return nil, fmt.Errorf("%w. Nothing was changed", err)
	}
	return id, nil
}

const (
	volatileFloor    = "db/volatile.rev"
	encryptionConfig = "cred/encryption-config.yaml"
	barredFile       = "cred/barred.json"
)

// identity makes the files of an identity and plans their places. Where one is
// present it stays, because the nodes know it; only the configuration of
// encryption is taken back, as it belongs to the database.
func (w *work) identity(id snapshot.Identity, present bool) error {
	tops := map[string]bool{}
	for _, f := range id {
		switch {
		case f.Path == volatileFloor:
			// It only ever grows.
			if exists(filepath.Join(w.layout.Server(), f.Path)) {
				continue
			}
		case present && f.Path != encryptionConfig:
			continue
		}
		if present && f.Path == encryptionConfig && same(filepath.Join(w.layout.Server(), f.Path), f.Data) {
			continue
		}
		target, err := w.stage(f)
		if err != nil {
			return err
		}
		if present || f.Path == volatileFloor {
			continue
		}
		top, _, _ := strings.Cut(filepath.ToSlash(target), "/")
		tops[top] = true
	}
	if err := w.barred(present); err != nil {
		return err
	}
	for top := range tops {
		w.replace(top)
	}
	if present && exists(filepath.Join(stages(w.layout)[0], encryptionConfig)) {
		w.replace(encryptionConfig)
	}
	return nil
}

// stage writes one file where it is made, and returns its place relative to
// <data>/server.
func (w *work) stage(f snapshot.File) (string, error) {
	rel := filepath.FromSlash(f.Path)
	if !filepath.IsLocal(rel) {
		return "", fmt.Errorf("the identity has a file %q outside of its folder", f.Path)
	}
	to := filepath.Join(stages(w.layout)[0], rel)
	if f.Path == volatileFloor {
		to = filepath.Join(stages(w.layout)[1], filepath.Base(rel))
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return "", fmt.Errorf("write identity: %w", err)
	}
	return rel, fsx.WriteFile(to, f.Data, f.Mode)
}

func same(path string, data []byte) bool {
	have, err := os.ReadFile(path)
	return err == nil && string(have) == string(data)
}
