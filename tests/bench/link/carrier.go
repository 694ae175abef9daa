package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"time"
)

// The names of the carriers.
const (
	carrierTLS          = "tls"
	carrierTCP          = "tcp"
	carrierKedge        = "kedge"
	carrierRemotedialer = "remotedialer"
	carrierKonnectivity = "konnectivity"
)

// nodeName is the node of every carrier.
const nodeName = "edge1"

// nearEnd is the server's end of a carrier.
type nearEnd interface {
	// dial connects to the target on the node.
	dial(ctx context.Context) (net.Conn, error)
}

// nearConfig is what the server's end is told.
type nearConfig struct {
	dir, listen, target, socket string
}

// nearEnds make the server's end of each carrier; farEnds run the node's end
// until it breaks. konnectivity's are programs of their own.
var (
	nearEnds = map[string]func(nearConfig) (nearEnd, error){
		carrierTLS: nearTLS, carrierKedge: nearKedge, carrierRemotedialer: nearRemotedialer,
		carrierKonnectivity: nearKonnectivity, carrierTCP: nearTCP,
	}
	farEnds = map[string]func(farConfig) error{
		carrierTLS: farTLS, carrierKedge: farKedge, carrierRemotedialer: farRemotedialer,
	}
)

type farConfig struct {
	dir, server, target string
}

func logger() *slog.Logger { return slog.New(slog.NewTextHandler(os.Stderr, nil)) }

// far is the process of the node's end.
func far(args []string) error {
	var c farConfig
	flags := flag.NewFlagSet("far", flag.ExitOnError)
	carrier := flags.String("carrier", "", "")
	flags.StringVar(&c.dir, "dir", "", "")
	flags.StringVar(&c.server, "server", "", "")
	flags.StringVar(&c.target, "target", "", "")
	_ = flags.Parse(args)
	run := farEnds[*carrier]
	if run == nil {
		return fmt.Errorf("no such carrier: %q", *carrier)
	}
	return run(c)
}

// direct dials the target itself.
type direct string

func nearTCP(c nearConfig) (nearEnd, error) { return direct(c.target), nil }

func (d direct) dial(ctx context.Context) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, "tcp", string(d))
}

// connect is net.Dial with patience: the two ends start at the same time.
func connect(config *tls.Config, addr string) (*tls.Conn, error) {
	var conn *tls.Conn
	err := patiently(func() (err error) {
		conn, err = tls.Dial("tcp", addr, config)
		return err
	})
	return conn, err
}

// patiently tries until it works, for half a minute.
func patiently(try func() error) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return patientlyUntil(ctx, try)
}

func patientlyUntil(ctx context.Context, try func() error) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

// join carries bytes between two connections until one direction ends.
func join(a, b net.Conn) {
	done := make(chan struct{}, 2)
	carry := func(dst, src net.Conn) {
		_, err := io.Copy(dst, src)
		if half, ok := dst.(interface{ CloseWrite() error }); ok && err == nil {
			err = half.CloseWrite()
		}
		if err != nil && !errors.Is(err, net.ErrClosed) {
			_ = errors.Join(dst.Close(), src.Close())
		}
		done <- struct{}{}
	}
	go carry(a, b)
	go carry(b, a)
	<-done
	<-done
	_ = errors.Join(a.Close(), b.Close())
}
