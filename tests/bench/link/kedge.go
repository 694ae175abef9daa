package main

import (
	"context"
	"net"
	"net/netip"

	"github.com/kedge-io/kedge/tests/bench/bed"
	"github.com/kedge-io/kedge/tunnel/access"
	"github.com/kedge-io/kedge/tunnel/spoke"
)

// hubEnd dials through kedge's hub.
type hubEnd struct {
	hub    *bed.Hub
	target string
}

func nearKedge(c nearConfig) (nearEnd, error) {
	h, err := bed.ServeHub(c.dir, c.listen, nil, logger())
	return hubEnd{hub: h, target: c.target}, err
}

func (e hubEnd) dial(ctx context.Context) (net.Conn, error) {
	return e.hub.DialNode(ctx, nodeName, "tcp", e.target)
}

func farKedge(c farConfig) error {
	target, err := netip.ParseAddrPort(c.target)
	if err != nil {
		return err
	}
	rules := access.Rules{KubeletPort: target.Port()}
	s, err := spoke.New(spoke.Config{
		Server: "https://" + c.server, CAFile: c.dir + "/server-ca.crt",
		CertFile: c.dir + "/node-" + nodeName + ".crt", KeyFile: c.dir + "/node-" + nodeName + ".key",
		Rules: func() access.Rules { return rules }, Software: "bench",
	}, logger())
	if err != nil {
		return err
	}
	return s.Run(context.Background(), func() {})
}
