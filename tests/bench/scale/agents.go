package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/kedge-io/kedge/tests/bench/bed"
	"github.com/kedge-io/kedge/tunnel/access"
	"github.com/kedge-io/kedge/tunnel/spoke"
)

// agents is a process with a share of the agents.
func agents(args []string) error {
	flags := flag.NewFlagSet("agents", flag.ExitOnError)
	kind := flags.String("kind", kindKedge, "")
	dir := flags.String("dir", "", "")
	first := flags.Int("first", 0, "")
	count := flags.Int("count", 0, "")
	_ = flags.Parse(args)
	run := runSpoke
	if *kind == kindTLS {
		run = holdTLS
	}
	ended := make(chan error, *count)
	for n := *first; n < *first+*count; n++ {
		go func() { ended <- run(*dir, agentName(n)) }()
	}
	var err error
	for range *count {
		err = errors.Join(err, <-ended)
	}
	return err
}

// portOf is the port of an agent's kubelet.
func portOf(name string) string {
	n, _ := strconv.Atoi(strings.TrimPrefix(name, "edge-"))
	return strconv.Itoa(firstPort + n)
}

// runSpoke is one agent: a spoke and a kubelet that returns what it gets.
func runSpoke(dir, name string) error {
	kubelet, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", portOf(name)))
	if err != nil {
		return err
	}
	go func() {
		for {
			conn, err := kubelet.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn)
			}()
		}
	}()
	rules := access.Rules{KubeletPort: uint16(kubelet.Addr().(*net.TCPAddr).Port)}
	s, err := spoke.New(spoke.Config{
		Server: "https://" + serverAddr, CAFile: filepath.Join(dir, "server-ca.crt"),
		CertFile: filepath.Join(dir, "node-"+name+".crt"), KeyFile: filepath.Join(dir, "node-"+name+".key"),
		Rules: func() access.Rules { return rules }, Software: "bench", Firewall: holder,
	}, slog.New(slog.NewTextHandler(os.Stderr, nil)).With("node", name))
	if err != nil {
		return err
	}
	return s.Run(context.Background(), func() {})
}

// holdTLS is one idle connection of the baseline.
func holdTLS(dir, name string) error {
	config, err := bed.NodeTLS(dir, name)
	if err != nil {
		return err
	}
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: time.Minute}, "tcp", serverAddr, config)
	if err != nil {
		return err
	}
	_, err = conn.Read(make([]byte, 1))
	return err
}
