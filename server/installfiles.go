package server

import (
	"path/filepath"
	"runtime"

	"github.com/kedge-io/kedge/internal/pki"
	"github.com/kedge-io/kedge/internal/wire"
	"github.com/kedge-io/kedge/server/distfiles"
)

// installFiles are what machines fetch to become nodes.
func (s *Server) installFiles() *distfiles.Files {
	return distfiles.New(distfiles.Config{
		Dir: filepath.Join(s.cfg.Layout.Server(), "dist"), Own: s.cfg.Program, Arch: runtime.GOARCH,
		Pin: func() (wire.Pin, error) {
			ca, err := pki.ReadCert(s.paths.ServerCA.Cert)
			if err != nil {
				return wire.Pin{}, err
			}
			return pki.PinOf(ca), nil
		},
		Log: s.log.With("component", "install-files"),
	})
}
