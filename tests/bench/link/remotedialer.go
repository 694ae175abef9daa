package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"path/filepath"

	"github.com/gorilla/websocket"
	"github.com/rancher/remotedialer"

	"github.com/kedge-io/kedge/internal/pki"
	"github.com/kedge-io/kedge/tests/bench/bed"
)

// plain dials through remotedialer's own server.
type plain struct {
	dialer remotedialer.Dialer
	target string
}

func nearRemotedialer(c nearConfig) (nearEnd, error) {
	ca, err := pki.ReadCert(filepath.Join(c.dir, "client-ca.crt"))
	if err != nil {
		return nil, err
	}
	server := remotedialer.New(func(r *http.Request) (string, bool, error) {
		if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
			return "", false, errors.New("no client certificate")
		}
		return nodeName, r.TLS.PeerCertificates[0].CheckSignatureFrom(ca) == nil, nil
	}, remotedialer.DefaultErrorWriter)
	_, _, err = bed.Serve(c.dir, c.listen, server, logger())
	return plain{dialer: server.Dialer(nodeName), target: c.target}, err
}

func (p plain) dial(ctx context.Context) (net.Conn, error) { return p.dialer(ctx, "tcp", p.target) }

func farRemotedialer(c farConfig) error {
	config, err := bed.NodeTLS(c.dir, nodeName)
	if err != nil {
		return err
	}
	// Once connected, a return is the end of the link.
	connected := false
	return patiently(func() error {
		err := remotedialer.ConnectToProxy(context.Background(), "wss://"+c.server+"/connect", nil,
			func(string, string) bool { return true }, &websocket.Dialer{TLSClientConfig: config},
			func(context.Context, *remotedialer.Session) error { connected = true; return nil })
		if connected {
			return nil
		}
		return err
	})
}
