package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
)

// konnectivityServer and konnectivityAgent are the command lines of upstream's
// programs, with their defaults wherever there is one.
func konnectivityServer(o options, dir, port, socket string) []string {
	return []string{
		filepath.Join(o.konnectivity, "konnectivity-server"),
		"--mode=http-connect", "--uds-name=" + socket, "--server-port=0", "--agent-port=" + port,
		"--admin-port=8095", "--health-port=8092", "--server-id=bench",
		"--cluster-cert=" + dir + "/server.crt", "--cluster-key=" + dir + "/server.key", "--cluster-ca-cert=" + dir + "/client-ca.crt",
	}
}

func konnectivityAgent(o options, dir, host, port string) []string {
	return []string{
		filepath.Join(o.konnectivity, "konnectivity-agent"),
		"--proxy-server-host=" + host, "--proxy-server-port=" + port, "--ca-cert=" + dir + "/server-ca.crt",
		"--agent-cert=" + dir + "/node-" + nodeName + ".crt", "--agent-key=" + dir + "/node-" + nodeName + ".key",
		"--agent-id=" + nodeName, "--admin-server-port=8094", "--health-server-port=8093",
	}
}

// socketEnd asks konnectivity's server for each connection, as an apiserver
// with the egress type HTTPConnect over a unix socket does.
type socketEnd struct{ socket, target string }

func nearKonnectivity(c nearConfig) (nearEnd, error) { return socketEnd{c.socket, c.target}, nil }

func (e socketEnd) dial(ctx context.Context) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", e.socket)
	if err != nil {
		return nil, err
	}
	request := &http.Request{Method: http.MethodConnect, URL: &url.URL{Host: e.target}, Host: e.target, Header: http.Header{}}
	if err := request.Write(conn); err != nil {
		_ = conn.Close()
		return nil, err
	}
	reader := bufio.NewReader(conn)
	response, err := http.ReadResponse(reader, request)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("CONNECT %s: %s", e.target, response.Status)
	}
	if err == nil && reader.Buffered() > 0 {
		err = fmt.Errorf("CONNECT %s: %d bytes before any was asked for", e.target, reader.Buffered())
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}
