package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/edgefw/apply"
)

// node and beside are the ends of the cable that packets take.
const node, beside = "192.0.2.1", "192.0.2.2"

// sources are the addresses that packets come from.
var sources = netip.MustParsePrefix("198.18.0.0/16")

// cost prints what a packet costs: the sender's time for each, in which the
// kernel also does all of the receiver's work, since the cable is a veth.
func cost(ctx context.Context, o options) error {
	sink, err := net.ListenPacket("udp4", net.JoinHostPort("0.0.0.0", strconv.Itoa(port)))
	if err != nil {
		return err
	}
	defer sink.Close() //nolint:errcheck // nothing is written to it
	fmt.Printf("\n### A packet\n\n| | of a flow that goes on, ns | to no firewall | of a new flow, ns | to no firewall |\n|---|---|---|---|---|\n")
	n := o.entries[0]
	friends := append(spread(n-1), sources)
	cases := []struct {
		name string
		make subject
		list []netip.Prefix
	}{
		{"no firewall, conntrack as kedge needs it", tracking(), nil},
		{"kedge, 1 prefix, legacy", kedge(apply.Legacy), friends[n-1:]},
		{fmt.Sprintf("kedge, %d prefixes, legacy", n), kedge(apply.Legacy), friends},
		{"kedge, 1 prefix, nft", kedge(apply.NFT), friends[n-1:]},
		{fmt.Sprintf("kedge, %d prefixes, nft", n), kedge(apply.NFT), friends},
		{fmt.Sprintf("nft, a set of %d intervals", n), nftables(), friends},
		{fmt.Sprintf("%d rules of iptables, legacy", n), restore(apply.Legacy), friends},
		{fmt.Sprintf("%d rules of iptables, nft", n), restore(apply.NFT), friends},
	}
	var base [2]float64
	for i, c := range cases {
		var got [2]float64
		for kind, flows := range []bool{false, true} {
			if got[kind], err = once(ctx, o, c.make, c.list, flows); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
		if i == 0 {
			base = got
		}
		fmt.Printf("| %s | %.0f | %.2f | %.0f | %.2f |\n", c.name, got[0], got[0]/base[0], got[1], got[1]/base[1])
	}
	return nil
}

// tracking is a rule that makes the kernel follow flows and decides nothing.
func tracking() subject {
	return subject{
		first: func(ctx context.Context, _ []netip.Prefix, _ func(int) bool) error {
			return feed(ctx, "table ip bench { chain in { type filter hook input priority 0; ct state new counter; }; }\n", "nft", "-f", "-")
		},
		remove: nftables().remove,
	}
}

// once is the least of five: what else runs on the machine only adds.
func once(ctx context.Context, o options, s subject, list []netip.Prefix, flows bool) (float64, error) {
	if err := s.first(ctx, list, func(int) bool { return true }); err != nil {
		return 0, err
	}
	packets := o.packets
	if flows {
		packets = min(packets, mostFlows)
	}
	var all []time.Duration
	for range 5 {
		took, err := sendFromBeside(ctx, packets, flows)
		if err != nil {
			return 0, err
		}
		all = append(all, took)
	}
	return float64(slices.Min(all)), s.remove(ctx)
}

// mostFlows is how many addresses the sender has, less than the kernel can follow.
const mostFlows = 40_000

// sendFromBeside starts this program in another namespace, lays a cable to it,
// and returns its time for a packet.
func sendFromBeside(ctx context.Context, packets int, flows bool) (time.Duration, error) {
	cmd := exec.CommandContext(ctx, "/proc/self/exe", "-send", node, "-packets", fmt.Sprint(packets), "-flows="+strconv.FormatBool(flows))
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	cmd.Stderr = os.Stderr
	var out bytes.Buffer
	cmd.Stdout = &out
	ready, err := cmd.StdinPipe()
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	script := fmt.Sprintf(`ip link add eth0 type veth peer name eth0 netns %[1]d
ip addr add %[2]s/24 dev eth0; ip link set eth0 up; ip route add %[4]s via %[3]s
nsenter --net=/proc/%[1]d/ns/net sh -ec 'ip link set lo up; ip addr add %[3]s/24 dev eth0; ip link set eth0 up; ip route add local %[4]s dev lo'
nsenter --net=/proc/%[1]d/ns/net ping -c 1 -W 1 -q %[2]s >/dev/null || true`, cmd.Process.Pid, node, beside, sources)
	if text, err := exec.CommandContext(ctx, "sh", "-ec", script).CombinedOutput(); err != nil {
		return 0, fmt.Errorf("laying a cable: %w: %s", err, text)
	}
	_ = ready.Close()
	if err := cmd.Wait(); err != nil {
		return 0, err
	}
	_ = exec.CommandContext(ctx, "sh", "-c", "ip link del eth0 2>/dev/null; conntrack -F 2>/dev/null").Run()
	return time.ParseDuration(strings.TrimSpace(out.String()))
}

// longest is for how long packets are sent at most.
const longest = 2 * time.Second

// pour is the other end: it waits for its input to end, sends, and prints the time
// for a packet. With flows each packet has another source.
func pour(to string, packets int, flows bool) error {
	_, _ = os.Stdin.Read(make([]byte, 1))
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	target := &unix.SockaddrInet4{Port: port, Addr: netip.MustParseAddr(to).As4()}
	payload := make([]byte, 64)
	source := unix.Inet4Pktinfo{Spec_dst: sources.Addr().As4()}
	began := time.Now()
	sent := 0
	for i := range packets {
		if i%1000 == 0 && time.Since(began) > longest {
			break
		}
		sent++
		if flows {
			source.Spec_dst[2], source.Spec_dst[3] = byte(i>>8), byte(i)
		}
		if err := unix.Sendmsg(fd, payload, unix.PktInfo4(&source), target, 0); err != nil && err != unix.ENOBUFS { //nolint:errorlint // errno itself
			return fmt.Errorf("packet %d: %w", i, err)
		}
	}
	fmt.Println(time.Since(began) / time.Duration(sent))
	return nil
}
