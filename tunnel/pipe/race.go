package pipe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"
)

const (
	// stagger is the head start of an address over the next one (RFC 8305,
	// section 5, recommends 250 ms).
	stagger = 250 * time.Millisecond
	// maxAddresses bounds how many addresses of one name are tried.
	maxAddresses = 16
)

// Lookup finds the addresses of a host name.
type Lookup func(ctx context.Context, host string) ([]netip.Addr, error)

// systemLookup asks the host's resolvers each time; nothing is kept.
func systemLookup(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

type netDial func(ctx context.Context, network, addr string) (net.Conn, error)

// race connects to the first address of hostport that answers. The name is
// looked up each time, so that a server may move.
func race(ctx context.Context, lookup Lookup, dial netDial, hostport string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(hostport)
	if err != nil {
		return nil, fmt.Errorf("address %q: %w", hostport, err)
	}
	addrs, err := resolve(ctx, lookup, host)
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w", host, err)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return nil, fmt.Errorf("address %q: the port is not a number", hostport)
	}
	if len(addrs) == 1 {
		return dial(ctx, "tcp", net.JoinHostPort(addrs[0].String(), port))
	}
	return raceAll(ctx, dial, addrs, port)
}

func resolve(ctx context.Context, lookup Lookup, host string) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr}, nil
	}
	found, err := lookup(ctx, host)
	if err != nil {
		return nil, err
	}
	addrs := interleave(found)
	if len(addrs) == 0 {
		return nil, errors.New("the name has no address")
	}
	return addrs[:min(len(addrs), maxAddresses)], nil
}

// interleave orders addresses so that the families alternate, beginning with
// that of the first one: the resolver has sorted them by RFC 6724.
func interleave(found []netip.Addr) []netip.Addr {
	var first, second, out []netip.Addr
	for _, a := range found {
		a = a.Unmap()
		if len(first) == 0 || a.Is4() == first[0].Is4() {
			first = append(first, a)
		} else {
			second = append(second, a)
		}
	}
	for i := range max(len(first), len(second)) {
		if i < len(first) {
			out = append(out, first[i])
		}
		if i < len(second) {
			out = append(out, second[i])
		}
	}
	return out
}

type raced struct {
	conn net.Conn
	err  error
}

// raceAll starts one address after another and takes the first connection; a
// failure starts the next one at once.
func raceAll(ctx context.Context, dial netDial, addrs []netip.Addr, port string) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	results := make(chan raced)
	started, ended := 0, 0
	start := func() {
		addr := net.JoinHostPort(addrs[started].String(), port)
		started++
		go func() {
			c, err := dial(ctx, "tcp", addr)
			results <- raced{c, err}
		}()
	}
	defer func() {
		cancel()
		go closeRest(results, started-ended)
	}()
	timer := time.NewTimer(stagger)
	defer timer.Stop()
	var errs []error
	for start(); ; {
		select {
		case r := <-results:
			ended++
			if r.err == nil {
				return r.conn, nil
			}
			errs = append(errs, r.err)
			if ended == len(addrs) {
				return nil, errors.Join(errs...)
			}
		case <-timer.C:
		}
		if started < len(addrs) {
			start()
			timer.Reset(stagger)
		}
	}
}

// closeRest ends the connections that came too late.
func closeRest(results <-chan raced, n int) {
	for range n {
		if r := <-results; r.err == nil {
			_ = r.conn.Close()
		}
	}
}
