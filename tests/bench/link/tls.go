package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"path/filepath"

	"github.com/kedge-io/kedge/internal/pki"
	"github.com/kedge-io/kedge/tests/bench/bed"
)

// spare is how many connections the node keeps open for streams to come.
const spare = 16

// pool hands out TLS connections that the node has made.
type pool chan net.Conn

func nearTLS(c nearConfig) (nearEnd, error) {
	config, err := bed.ServerTLS(c.dir)
	if err != nil {
		return nil, err
	}
	ca, err := pki.ReadCert(filepath.Join(c.dir, "client-ca.crt"))
	if err != nil {
		return nil, err
	}
	config.ClientAuth, config.ClientCAs, config.NextProtos = tls.RequireAndVerifyClientCert, x509.NewCertPool(), nil
	config.ClientCAs.AddCert(ca)
	listener, err := tls.Listen("tcp", c.listen, config)
	if err != nil {
		return nil, err
	}
	p := make(pool, spare)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				if conn.(*tls.Conn).Handshake() == nil {
					p <- conn
				}
			}()
		}
	}()
	return p, nil
}

// dial takes a connection. The byte tells the node that it is used now.
func (p pool) dial(ctx context.Context) (net.Conn, error) {
	select {
	case conn := <-p:
		_, err := conn.Write([]byte{0})
		return conn, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func farTLS(c farConfig) error {
	config, err := bed.NodeTLS(c.dir, nodeName)
	if err != nil {
		return err
	}
	errs, free := make(chan error, 1), make(chan struct{}, spare)
	for {
		select {
		case free <- struct{}{}:
		case err := <-errs:
			return err
		}
		go func() {
			conn, err := connect(config, c.server)
			if err != nil {
				errs <- err
				return
			}
			_, err = io.ReadFull(conn, make([]byte, 1))
			<-free
			if err != nil {
				errs <- err
				return
			}
			local, err := net.Dial("tcp", c.target)
			if err != nil {
				_ = conn.Close()
				return
			}
			join(conn, local)
		}()
	}
}
