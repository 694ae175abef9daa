package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Host is one machine of the lab. Its methods may be used from several goroutines, except that
// PowerOn and PowerOff belong to one.
type Host struct {
	lab  *Lab
	plan hostPlan
	site *SiteNet

	// Link joins the host to its site. It is a new one after each PowerOn.
	Link *Link

	mu    sync.Mutex
	addr  netip.Prefix // of eth0
	init  *initProc
	net   *network
	procs []*Proc
}

// initProc is PID 1 of a powered host.
type initProc struct {
	pid   int
	pidfd int
	dead  chan struct{}
}

// Name is the host's name, which is also its hostname.
func (h *Host) Name() string { return h.plan.name }

// IP is the address of eth0: public in a public site, private otherwise.
func (h *Host) IP() string { return h.address().Addr().String() }

func (h *Host) address() netip.Prefix {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.addr
}

// Dir is the host's directory on the machine's disk.
func (h *Host) Dir() string { return filepath.Join(h.lab.Dir(), h.Name()) }

// CgroupRoot is the host's cgroup in every hierarchy, for kedge's --cgroup-root.
func (h *Host) CgroupRoot() string { return "/" + h.lab.run + "/" + h.Name() }

// InitPID is the process id of the host's PID 1 as the machine sees it, or 0 without power.
func (h *Host) InitPID() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.init == nil {
		return 0
	}
	return h.init.pid
}

// PowerOn starts the host. What it had on disk is there again; what was in memory is not.
func (h *Host) PowerOn(ctx context.Context) error {
	if h.InitPID() != 0 {
		return errors.New("it has power already")
	}
	if err := os.MkdirAll(h.Dir(), 0o755); err != nil {
		return err
	}
	if _, err := makeCgroups(h.CgroupRoot()); err != nil {
		return err
	}
	cg, err := makeCgroups(h.CgroupRoot() + "/procs")
	if err != nil {
		return err
	}
	init, err := h.startInit(ctx, cg)
	if err != nil {
		return err
	}
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", init.pid))
	if err != nil {
		return err
	}
	n, err := openNetwork(ns)
	if err != nil {
		return err
	}
	h.mu.Lock()
	h.init, h.net = init, n
	h.mu.Unlock()
	return h.plugIn()
}

func (h *Host) startInit(ctx context.Context, cg cgroupSet) (*initProc, error) {
	config, err := json.Marshal(hostConfig{
		Name: h.Name(), Dir: h.Dir(), Root: h.lab.roots[h.Name()], Nameserver: exchangeIP.String(), Search: Zone,
	})
	if err != nil {
		return nil, err
	}
	log, err := h.openLog("init")
	if err != nil {
		return nil, err
	}
	defer log.Close()
	ready, readyEnd, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer ready.Close()
	cmd := self(verbHost, string(config))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = h.lab.line.read, log, log
	cmd.ExtraFiles = []*os.File{readyEnd}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setsid:     true,
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWUTS,
	}
	err = onThread(func() error {
		release, err := cg.adoptThread(cmd)
		if err != nil {
			return err
		}
		defer release()
		return cmd.Start()
	})
	_ = readyEnd.Close()
	if err != nil {
		return nil, fmt.Errorf("start PID 1: %w", err)
	}
	p := &initProc{pid: cmd.Process.Pid, dead: make(chan struct{})}
	go func() { _ = cmd.Wait(); close(p.dead) }()
	stop := context.AfterFunc(ctx, func() { _ = ready.SetReadDeadline(unixEpoch) })
	defer stop()
	if word, err := io.ReadAll(ready); err != nil || len(word) == 0 {
		_ = cmd.Process.Kill()
		<-p.dead
		return nil, fmt.Errorf("PID 1 did not come up (log %s): %w\n%s", log.Name(), err, tail(log.Name(), 10))
	}
	p.pidfd, err = unix.PidfdOpen(p.pid, 0)
	if err != nil {
		return nil, fmt.Errorf("open PID 1: %w", err)
	}
	return p, nil
}

// plugIn connects the host to its site.
func (h *Host) plugIn() error {
	var err error
	if h.Link, err = h.site.gw.plug("lan", "p-"+h.Name(), h.net, "eth0"); err != nil {
		return err
	}
	if err := h.net.up("lo"); err != nil {
		return err
	}
	if err := h.net.up("eth0", h.address()); err != nil {
		return err
	}
	return h.net.route(anywhere, h.site.plan.gw)
}

// awaitInternet waits until packets of the host come back from the exchange. A new link carries
// nothing for up to a second.
func (h *Host) awaitInternet(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		try, done := context.WithTimeout(ctx, time.Second)
		_, err := h.DialContext(try, "tcp4", exchangeIP.String()+":1")
		done()
		if errors.Is(err, unix.ECONNREFUSED) {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("host %s does not reach the exchange: %w", h.Name(), err)
		}
	}
}

// PowerOff ends all processes of the host at once, as pulling the plug does. Memory-backed
// directories, the network and everything the kernel held are gone; the disk stays.
func (h *Host) PowerOff() error {
	h.mu.Lock()
	init, n := h.init, h.net
	h.init, h.net = nil, nil
	h.mu.Unlock()
	if init == nil {
		return errors.New("it has no power")
	}
	if err := unix.Kill(init.pid, unix.SIGKILL); err != nil {
		return fmt.Errorf("kill PID 1: %w", err)
	}
	<-init.dead
	_ = unix.Close(init.pidfd)
	// The link goes with its end in the host's namespace, and faster by its other end.
	if link, err := h.Link.near.link(); err == nil {
		_ = h.Link.near.net.nl.LinkDel(link)
	}
	n.release()
	var problems []error
	for _, dir := range cgroupsNamed(strings.TrimPrefix(h.CgroupRoot(), "/")) {
		problems = append(problems, removeCgroup(dir))
	}
	return errors.Join(problems...)
}

func (h *Host) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.init != nil {
		_ = unix.Close(h.init.pidfd)
	}
	h.net.release()
	h.init, h.net = nil, nil
}

// network returns the host's network while it has power.
func (h *Host) network() (*network, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.net == nil {
		return nil, fmt.Errorf("host %s has no power", h.Name())
	}
	return h.net, nil
}

// DialContext dials from inside the host. The address must be numeric, because names would be
// looked up outside.
func (h *Host) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if err := numeric(address); err != nil {
		return nil, err
	}
	n, err := h.network()
	if err != nil {
		return nil, err
	}
	var c net.Conn
	err = n.do(func() error {
		var err error
		c, err = (&net.Dialer{}).DialContext(ctx, network, address)
		return err
	})
	return c, err
}

// Listen listens inside the host.
func (h *Host) Listen(network, address string) (net.Listener, error) {
	n, err := h.network()
	if err != nil {
		return nil, err
	}
	var l net.Listener
	err = n.do(func() error {
		var err error
		l, err = net.Listen(network, address)
		return err
	})
	return l, err
}

// ListenUDP is Listen for datagrams of IPv4.
func (h *Host) ListenUDP(address string) (net.PacketConn, error) {
	n, err := h.network()
	if err != nil {
		return nil, err
	}
	var c net.PacketConn
	err = n.do(func() error {
		var err error
		c, err = net.ListenPacket("udp4", address)
		return err
	})
	return c, err
}

func numeric(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	if _, err := netip.ParseAddr(host); err != nil {
		return fmt.Errorf("dial from a host: %w", err)
	}
	return nil
}

// ReadFile reads a file as the host sees it.
func (h *Host) ReadFile(path string) ([]byte, error) { return os.ReadFile(h.Path(path)) }

// WriteFile writes a file as the host sees it and makes its directory.
func (h *Host) WriteFile(path string, data []byte, perm os.FileMode) error {
	p := h.Path(path)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		return err
	}
	return os.WriteFile(p, data, perm)
}

// OnDisk is where the machine sees a path below one of the host's kept directories, also without
// power.
func (h *Host) OnDisk(path string) string { return filepath.Join(h.Dir(), "disk", path) }

// Path is where the machine sees the host's path. It is valid while the host has power. Absolute
// symbolic links on the way are followed in the machine's own tree.
func (h *Host) Path(path string) string {
	return fmt.Sprintf("/proc/%d/root%s", h.InitPID(), filepath.Clean("/"+path))
}
