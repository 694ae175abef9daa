package lab

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Listeners lists the addresses on which TCP is listened for in the host's own network namespace.
func (h *Host) Listeners() ([]netip.AddrPort, error) {
	var all []netip.AddrPort
	for _, table := range []string{"tcp", "tcp6"} {
		text, err := h.ReadFile("/proc/1/net/" + table)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line)
			const listening = "0A"
			if len(f) < 4 || f[3] != listening {
				continue
			}
			a, err := kernelAddr(f[1])
			if err != nil {
				return nil, err
			}
			all = append(all, a)
		}
	}
	return all, nil
}

// kernelAddr reads an address as proc(5) prints it: words of 32 bits in the machine's byte order,
// which is little-endian on everything this runs on, a colon and the port.
func kernelAddr(text string) (netip.AddrPort, error) {
	addr, port, _ := strings.Cut(text, ":")
	raw, err := hex.DecodeString(addr)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("address %q: %w", text, err)
	}
	for word := range slices.Chunk(raw, 4) {
		slices.Reverse(word)
	}
	ip, ok := netip.AddrFromSlice(raw)
	p, err := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil {
		return netip.AddrPort{}, fmt.Errorf("address %q: want hex:hex", text)
	}
	return netip.AddrPortFrom(ip.Unmap(), uint16(p)), nil
}
