package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/internal/paths"
)

// neighbourTimeout bounds the call of a socket on this host, which answers at once
// or not at all.
const neighbourTimeout = time.Second

// removeUnlessShared calls remove, unless other kedges run in this network
// namespace: those it returns, by their run directories.
func removeUnlessShared(ctx context.Context, layout paths.Layout, remove func(context.Context) error) (others []string, err error) {
	if others = neighboursOf(ctx, layout); len(others) > 0 {
		return others, nil
	}
	return nil, remove(ctx)
}

// neighboursOf are the run directories of other kedges whose daemon runs, or whose
// pods do, in this network namespace.
func neighboursOf(ctx context.Context, layout paths.Layout) []string {
	found, _ := filepath.Glob(filepath.Join(filepath.Dir(layout.RunDir), "kedge*")) // see paths.New
	var others []string
	for _, dir := range found {
		other := paths.Layout{RunDir: dir}
		if dir != layout.RunDir && (servedHere(ctx, other.StatusSocket()) || servedHere(ctx, other.ContainerdSocket())) {
			others = append(others, dir)
		}
	}
	return others
}

// servedHere tells whether a process of this network namespace listens on a socket.
func servedHere(ctx context.Context, socket string) bool {
	ctx, cancel := context.WithTimeout(ctx, neighbourTimeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }()
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return true
	}
	pid := 0
	_ = raw.Control(func(fd uintptr) {
		if peer, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			pid = int(peer.Pid)
		}
	})
	return sharesNetwork(pid)
}

// sharesNetwork tells whether a process is in this network namespace. One that
// cannot be looked at is taken to be: what is left can be removed later.
func sharesNetwork(pid int) bool {
	own, err1 := os.Readlink("/proc/self/ns/net")
	its, err2 := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "ns", "net"))
	return err1 != nil || err2 != nil || own == its
}
