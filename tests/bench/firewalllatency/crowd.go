package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/kedge-io/kedge/edgefw"
	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/internal/pki"
	"github.com/kedge-io/kedge/internal/wire"
	"github.com/kedge-io/kedge/tests/bench/bed"
	"github.com/kedge-io/kedge/tunnel/access"
	"github.com/kedge-io/kedge/tunnel/spoke"
)

// crowdOptions are the command line of a crowd.
type crowdOptions struct {
	dir, state, server string
	count              int
	kernel             time.Duration
	watch              bool
}

// crowd is a process with many nodes, or many watches. It says on its standard
// output what they see.
func crowd(args []string) error {
	var o crowdOptions
	flags := flag.NewFlagSet("crowd", flag.ExitOnError)
	flags.StringVar(&o.dir, "dir", "", "")
	flags.StringVar(&o.state, "state", "", "")
	flags.StringVar(&o.server, "server", "", "")
	flags.IntVar(&o.count, "count", 0, "")
	flags.DurationVar(&o.kernel, "kernel", 0, "")
	flags.BoolVar(&o.watch, "watch", false, "")
	_ = flags.Parse(args)
	if err := bed.RaiseFileLimit(uint64(o.count)*16 + 1024); err != nil {
		return err
	}
	out := &output{w: bufio.NewWriter(os.Stdout)}
	run := o.node
	if o.watch {
		run = o.watcher
	}
	ended := make(chan error, o.count)
	for n := range o.count {
		go func() { ended <- run(nodeName(n), out) }()
	}
	var err error
	for range o.count {
		err = errors.Join(err, <-ended)
	}
	return err
}

func nodeName(n int) string { return fmt.Sprintf("sim-%d", n) }

// output is written to by all.
type output struct {
	mu sync.Mutex
	w  *bufio.Writer
	// due is set while somebody is about to flush.
	due bool
}

func (o *output) tell(what, who string, at time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	fmt.Fprintf(o.w, "%s %s %d\n", what, who, at.UnixNano())
	if !o.due {
		o.due = true
		time.AfterFunc(20*time.Millisecond, o.flush)
	}
}

func (o *output) flush() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.due = false
	_ = o.w.Flush()
}

// node is a node's end of the link with its loop, above a kernel that is made up.
func (o crowdOptions) node(name string, out *output) error {
	config, err := bed.NodeTLS(o.dir, name)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})).With("node", name)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	loop, err := edgefw.New(edgefw.Config{
		Kernel: &kernel{name: name, takes: o.kernel, out: out},
		Prove:  func(ctx context.Context) error { return ping(ctx, o.server, config) },
		Facts:  func() model.Facts { return model.Facts{} }, Addresses: func() []netip.Addr { return nil },
		Lookup: func(context.Context, string) ([]netip.Addr, error) { return nil, errors.New("no names here") },
		File:   filepath.Join(o.state, name+".json"), PodsFile: filepath.Join(o.state, name+"-pods.json"), Software: "bench",
	}, log)
	if err != nil {
		return err
	}
	s, err := spoke.New(spoke.Config{
		Server: o.server, CAFile: filepath.Join(o.dir, "server-ca.crt"),
		CertFile: filepath.Join(o.dir, "node-"+name+".crt"), KeyFile: filepath.Join(o.dir, "node-"+name+".key"),
		Rules: func() access.Rules { return access.Rules{} }, Software: "bench", Firewall: loop.Serve,
	}, log)
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- loop.Run(ctx, func() {}) }()
	err = s.Run(ctx, func() { out.tell("ready", name, time.Now()) })
	cancel()
	return errors.Join(err, <-ended)
}

// ping is a proof: a fresh connection that a server answers on.
func ping(ctx context.Context, server string, config *tls.Config) error {
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config.Clone(), DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, server+wire.PathPing, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// watcher is one watch of the API on a connection of its own.
func (o crowdOptions) watcher(name string, out *output) error {
	pair, err := tls.LoadX509KeyPair(filepath.Join(o.dir, "watcher.crt"), filepath.Join(o.dir, "watcher.key"))
	if err != nil {
		return err
	}
	ca, err := pki.ReadCert(filepath.Join(o.dir, "server-ca.crt"))
	if err != nil {
		return err
	}
	config := &tls.Config{
		Certificates: []tls.Certificate{pair}, RootCAs: pki.Pool(ca), ServerName: wire.ServerIdentity, MinVersion: tls.VersionTLS13,
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}}
	watch(context.Background(), client, o.server, "edgefirewalls",
		sync.OnceFunc(func() { out.tell("ready", name, time.Now()) }), func(step string) { out.tell(step, name, time.Now()) })
	return nil
}
