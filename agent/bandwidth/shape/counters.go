package shape

import (
	"encoding/binary"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/agent/bandwidth/model"
	"github.com/kedge-io/kedge/agent/bandwidth/plan"
)

// Counter is what a class counted since it was made.
type Counter struct {
	// Device is the name of the IFB device, Uplink its number, which is the
	// position of the uplink in the plan.
	Device    string
	Uplink    int
	Direction model.Direction
	Minor     uint16
	// Bytes and Packets passed; those of an inner class are of all below it.
	// Packets are those of the wire, also where the host has joined them.
	Bytes, Packets uint64
	// Drops are packets, Overlimits how often one had to wait.
	Drops, Overlimits uint64
	// Backlog is what waits now, in bytes.
	Backlog uint64
}

// Counters reads all classes, with one question for each device.
func (k *Kernel) Counters() ([]Counter, error) {
	c, err := dial()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	s := &kernelState{}
	if err := c.readLinks(s); err != nil {
		return nil, err
	}
	var all []Counter
	for _, d := range s.devices {
		before := len(all)
		restart := func() { all = all[:before] }
		err := c.dump(unix.RTM_GETTCLASS, nl.TcMsg{Ifindex: int32(d.index)}, restart, func(tc nl.TcMsg, a attrs) {
			if int(tc.Ifindex) == d.index && uint16(tc.Handle>>16) == plan.Major {
				all = append(all, decodeCounter(d.name, uint16(tc.Handle), a.nested(nl.TCA_STATS2)))
			}
		})
		if err != nil && s.there(d.index) {
			return nil, err
		}
	}
	return all, nil
}

// decodeCounter reads struct gnet_stats_basic, gnet_stats_queue
// (linux/gen_stats.h).
func decodeCounter(device string, minor uint16, stats attrs) Counter {
	c := Counter{Device: device, Minor: minor}
	number := strings.TrimPrefix(device, prefixOut)
	if number == device {
		number, c.Direction = strings.TrimPrefix(device, prefixIn), model.Ingress
	}
	c.Uplink, _ = strconv.Atoi(number)
	if b := stats.find(nl.TCA_STATS_BASIC); len(b) >= 12 {
		c.Bytes, c.Packets = binary.NativeEndian.Uint64(b), uint64(parseU32(b[8:]))
	}
	if b := stats.find(nl.TCA_STATS_QUEUE); len(b) >= 20 {
		c.Backlog, c.Drops, c.Overlimits = uint64(parseU32(b[4:])), uint64(parseU32(b[8:])), uint64(parseU32(b[16:]))
	}
	const packets64 = 8 // TCA_STATS_PKT64
	c.Packets = max(c.Packets, stats.u64(packets64))
	return c
}
