package preflight

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/kedge-io/kedge/internal/finding"
)

// ports tries the addresses that will be listened on.
func (m *machine) ports(ctx context.Context) []finding.Finding {
	if m.cfg.Running {
		return one(finding.PortTaken, finding.OK, "the daemon has its ports")
	}
	var out []finding.Finding
	if m.cfg.Server {
		address := net.JoinHostPort(m.cfg.Bind.String(), strconv.Itoa(m.cfg.Port))
		out = append(out, m.port(ctx, address, "the server")...)
	}
	if m.cfg.Node {
		for _, p := range nodePorts {
			out = append(out, m.port(ctx, net.JoinHostPort("127.0.0.1", strconv.Itoa(p.number)), p.part)...)
		}
		out = append(out, m.dnsPort(ctx)...)
	}
	if len(out) == 0 {
		return one(finding.PortTaken, finding.OK, "all ports are free")
	}
	return out
}

func (m *machine) port(ctx context.Context, address, part string) []finding.Finding {
	err := m.listen("tcp", address)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EADDRINUSE):
		return one(finding.PortTaken, finding.Error, "%s, which %s needs, is taken by %s", address, part, m.owner(ctx, address))
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return []finding.Finding{finding.New(finding.PortTaken, finding.Error, "%s is no address of this host", address).Instead("correct --bind-address")}
	case errors.Is(err, fs.ErrPermission):
		return nil // a port below 1024 and no root, which is said already
	}
	return one(finding.PortTaken, finding.Error, "%s, which %s needs: %v", address, part, err)
}

// dnsPort tries port 53 of an address on loopback that nobody uses: it is taken only
// by those who took it for all addresses.
func (m *machine) dnsPort(ctx context.Context) []finding.Finding {
	const address = "127.107.53.1:53"
	for _, network := range []string{"udp", "tcp"} {
		if err := m.listen(network, address); errors.Is(err, syscall.EADDRINUSE) {
			return one(finding.PortDNS, finding.Error, "port 53 (%s) of all addresses is taken by %s", network, m.owner(ctx, "0.0.0.0:53"))
		}
	}
	return nil
}

// owner names the process that listens on a port, as far as this user may see.
func (m *machine) owner(ctx context.Context, address string) string {
	_, text, _ := net.SplitHostPort(address)
	number, _ := strconv.Atoi(text)
	var sockets []string
	for _, table := range []string{"tcp", "tcp6", "udp", "udp6"} {
		sockets = append(sockets, listeners(m.text("proc/net/"+table), number)...)
	}
	if name := m.holder(ctx, sockets); name != "" {
		return name
	}
	return fmt.Sprintf("another program (see it with: ss -lntup 'sport = :%d')", number)
}

// listeners are the inodes of sockets that listen on a port, of /proc/net/tcp or udp
// (proc_net(5): local address, state 0A for LISTEN and 07 for an unconnected UDP
// socket, and inode as the tenth field).
func listeners(table string, port int) []string {
	var out []string
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) < 10 || f[3] != "0A" && f[3] != "07" {
			continue
		}
		_, hex, _ := strings.Cut(f[1], ":")
		if n, err := strconv.ParseUint(hex, 16, 16); err == nil && int(n) == port {
			out = append(out, f[9])
		}
	}
	return out
}

// holder looks for a process that has one of the sockets.
func (m *machine) holder(ctx context.Context, sockets []string) string {
	links, ok := m.probe.Files.(fs.ReadLinkFS)
	if !ok || len(sockets) == 0 {
		return ""
	}
	processes, _ := fs.Glob(m.probe.Files, "proc/[0-9]*")
	for _, p := range processes {
		open, _ := fs.ReadDir(m.probe.Files, p+"/fd")
		for _, e := range open {
			if ctx.Err() != nil {
				return ""
			}
			target, err := links.ReadLink(p + "/fd/" + e.Name())
			if err != nil || !strings.HasPrefix(target, "socket:[") {
				continue
			}
			if slices.Contains(sockets, strings.Trim(target, "socket:[]")) {
				return fmt.Sprintf("%s (process %s)", m.line(p+"/comm"), strings.TrimPrefix(p, "proc/"))
			}
		}
	}
	return ""
}
