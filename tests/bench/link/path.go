package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/kedge-io/kedge/tests/bench/bed"
	"github.com/kedge-io/kedge/tests/lab"
)

// The names of the paths.
const (
	pathLoopback = "loopback"
	pathLAN      = "lan"
	pathThin     = "thin"
)

const (
	// thinRate and thinQueue are those of the thin line in each direction.
	thinRate  = 20_000_000
	thinQueue = 50 * time.Millisecond
)

// path is where the two ends of a carrier run.
type path struct {
	name   string
	server string // the address of the server's end
	lab    *lab.Lab
	self   string
}

func openPath(ctx context.Context, o options, name string) (*path, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &path{name: name, server: "127.0.0.1", self: self}
	switch name {
	case pathLoopback:
		return p, nil
	case pathLAN, pathThin:
	default:
		return nil, errors.New("no such path")
	}
	if p.lab, err = lab.Up(ctx, lab.ServerAndEdges(1), filepath.Join(o.out, name)); err != nil {
		return nil, err
	}
	p.server = p.lab.Host("server").IP()
	if name == pathThin {
		if err := p.lab.Host(nodeName).Link.Slow(thinRate, thinQueue); err != nil {
			return nil, errors.Join(err, p.lab.Close())
		}
	}
	return p, nil
}

func (p *path) close() error {
	if p.lab == nil {
		return nil
	}
	return p.lab.Close()
}

// measure runs all works on one carrier with processes of its own.
func (p *path) measure(ctx context.Context, o options, carrier string) (figures, error) {
	dir, err := os.MkdirTemp(o.out, "run-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	authority, err := bed.NewAuthority(dir, netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr(p.server))
	if err != nil {
		return nil, err
	}
	if _, _, err := authority.Node(nodeName); err != nil {
		return nil, err
	}
	port, targetAddr := strconv.Itoa(o.port), net.JoinHostPort("127.0.0.1", strconv.Itoa(o.port+1))
	c := crew{path: p, out: filepath.Join(o.out, p.name)}
	defer c.stop()
	if err := c.start(nodeName, "target", p.self, "target", "-listen", targetAddr); err != nil {
		return nil, err
	}
	c.pids = nil // the target does not count
	addr, socket := p.server+":"+port, filepath.Join(dir, "socket")
	switch carrier {
	case carrierTCP:
	case carrierKonnectivity:
		err = c.start("server", "konnectivity-server", konnectivityServer(o, dir, port, socket)...)
		if err == nil {
			err = patiently(func() error { _, err := os.Stat(socket); return err })
		}
		if err == nil {
			err = c.start(nodeName, "konnectivity-agent", konnectivityAgent(o, dir, p.server, port)...)
		}
	default:
		err = c.start(nodeName, "far-"+carrier, p.self, "far", "-carrier", carrier, "-dir", dir, "-server", addr, "-target", targetAddr)
	}
	if err != nil {
		return nil, err
	}
	length, warm := o.length, o.length/4
	if p.name == pathThin {
		length, warm = 8*o.length, 2*o.length
	}
	args := []string{
		p.self, "near", "-carrier", carrier, "-dir", dir, "-listen", addr, "-target", targetAddr, "-socket", socket,
		"-works", o.works, "-length", length.String(), "-warm", warm.String(), "-watch", strings.Join(c.pids, ","),
	}
	return c.near(ctx, args)
}

// crew are the processes of one carrier.
type crew struct {
	path *path
	out  string
	pids []string // as the process of the server's end sees them
	ends []func()
}

func (c *crew) start(host, name string, argv ...string) error {
	if c.path.lab != nil {
		proc, err := c.path.lab.Host(host).Start(name, argv...)
		if err == nil {
			c.ends = append(c.ends, func() { _ = proc.Kill() })
		}
		return err
	}
	cmd, err := bed.Start(filepath.Join(c.out, name+".log"), argv...)
	if err == nil {
		c.pids = append(c.pids, strconv.Itoa(cmd.Process.Pid))
		c.ends = append(c.ends, func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	}
	return err
}

func (c *crew) stop() {
	for _, end := range c.ends {
		end()
	}
}

// near runs the process of the server's end and reads its figures.
func (c *crew) near(ctx context.Context, argv []string) (figures, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	var out, log string
	var err error
	if c.path.lab != nil {
		out, log, err = c.path.lab.Host("server").Run(ctx, argv...)
	} else {
		var text, errText strings.Builder
		cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
		cmd.Stdout, cmd.Stderr = &text, &errText
		err = cmd.Run()
		out, log = text.String(), errText.String()
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, log[max(0, len(log)-1000):])
	}
	var f figures
	return f, json.Unmarshal([]byte(out), &f)
}
