package uplink

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/agent/bandwidth/model"
	"github.com/kedge-io/kedge/internal/bitrate"
)

// memory is what outlives a cable that is pulled for a moment: its device loses
// its routes and its speed, but is the uplink all the same.
type memory struct {
	// route is the index of the device that had the default route last.
	route int
	// speeds are those of ports by index, while they had a carrier.
	speeds map[int]bitrate.Rate
}

// device returns the index of that of the default route, or of the last one that
// had it as long as it is there and no other has one.
func (m *memory) device(route int, there func(index int) bool) int {
	if route == 0 && m.route > 0 && there(m.route) {
		return m.route
	}
	m.route = route
	return route
}

// speed returns the speed of a port, or while there is no carrier the last one.
func (m *memory) speed(index int, now bitrate.Rate, carrier bool) bitrate.Rate {
	if now == 0 && !carrier {
		return m.speeds[index]
	}
	if m.speeds == nil {
		m.speeds = map[int]bitrate.Rate{}
	}
	m.speeds[index] = now
	return now
}

func isThere(index int) bool {
	_, err := netlink.LinkByIndex(index)
	return err == nil
}

// find looks for the wanted uplinks. One that is missing is there without index.
func find(cfg parsed, sys fs.FS, m *memory) ([]model.Uplink, error) {
	route, err := defaultRoute()
	route = m.device(route, isThere)
	errs := []error{err}
	out := named(cfg.uplinks, nameOf(route))
	for i := range out {
		u := &out[i]
		if u.Device != "" {
			errs = append(errs, locate(u, sys, m))
		}
		for _, d := range model.Directions {
			u.Reserve[d] = cfg.reserve.of(u.Rates[d])
		}
	}
	out, err = once(out)
	errs = append(errs, err)
	slices.SortStableFunc(out, func(a, b model.Uplink) int { return rank(a, route) - rank(b, route) })
	return out, errors.Join(errs...)
}

// once leaves out a device that is there under two names: all that crosses it
// would go through the second one's trees only.
func once(all []model.Uplink) ([]model.Uplink, error) {
	var out []model.Uplink
	var errs []error
	for _, u := range all {
		i := slices.IndexFunc(out, func(o model.Uplink) bool { return u.Index > 0 && o.Index == u.Index })
		if i < 0 {
			out = append(out, u)
			continue
		}
		errs = append(errs, fmt.Errorf("uplink %s is the same device as %s: leave one out", u.Device, out[i].Device))
	}
	return out, errors.Join(errs...)
}

// named gives "auto" the name of the device of the default route, empty while there
// is none. One that has its own line among all is what that line says.
func named(all []spec, auto string) []model.Uplink {
	var out []model.Uplink
	for _, s := range all {
		u := model.Uplink{Device: s.device, Rates: s.rates}
		if s.device == "" && !s.none && auto != "" {
			if slices.ContainsFunc(all, func(o spec) bool { return o.device == auto }) {
				continue
			}
			u.Device = auto
		}
		out = append(out, u)
	}
	return out
}

// nameOf is the name of a device; empty if it is not there.
func nameOf(index int) string {
	if index == 0 {
		return ""
	}
	link, err := netlink.LinkByIndex(index)
	if err != nil {
		return ""
	}
	return link.Attrs().Name
}

// rank puts the uplink of the default route first.
func rank(u model.Uplink, route int) int {
	if u.Index > 0 && u.Index == route {
		return 0
	}
	return 1
}

func locate(u *model.Uplink, sys fs.FS, m *memory) error {
	link, err := netlink.LinkByName(u.Device)
	if err != nil {
		if errors.As(err, new(netlink.LinkNotFoundError)) {
			return fmt.Errorf("uplink %s: there is no such device", u.Device)
		}
		return fmt.Errorf("uplink %s: %w", u.Device, err)
	}
	if link.Type() == "ifb" || link.Attrs().Flags&net.FlagLoopback != 0 {
		return fmt.Errorf("uplink %s leads to nobody outside: name the device of the default route (ip route show default)", u.Device)
	}
	u.Index = link.Attrs().Index
	if u.Rates == ([2]bitrate.Rate{}) {
		speed := m.speed(u.Index, portSpeed(sys, link.Attrs().Name), link.Attrs().RawFlags&unix.IFF_LOWER_UP != 0)
		u.Rates = [2]bitrate.Rate{speed, speed}
	}
	return nil
}

// portSpeed is the speed of a port of hardware; 0 for all others, whose figure
// means nothing, and while there is no carrier.
func portSpeed(sys fs.FS, device string) bitrate.Rate {
	dir := path.Join("class/net", device)
	if _, err := fs.Stat(sys, path.Join(dir, "device")); err != nil {
		return 0
	}
	text, err := fs.ReadFile(sys, path.Join(dir, "speed"))
	if err != nil {
		return 0 // EINVAL without a carrier, and of radios
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || n <= 0 {
		return 0 // -1 is not known
	}
	return bitrate.Rate(n) * bitrate.Mbit
}

// defaultRoute is the index of the device of the default route, IPv4 before
// IPv6 and the lowest metric first; 0 where there is none.
func defaultRoute() (int, error) {
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		routes, err := netlink.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
		if err != nil {
			return 0, fmt.Errorf("read routes: %w", err)
		}
		best, metric := 0, 0
		for _, r := range routes {
			index := device(r)
			if isDefault(r) && index > 0 && (best == 0 || r.Priority < metric) {
				best, metric = index, r.Priority
			}
		}
		if best > 0 {
			return best, nil
		}
	}
	return 0, nil
}

func isDefault(r netlink.Route) bool {
	if r.Type != unix.RTN_UNICAST {
		return false
	}
	if r.Dst == nil {
		return true
	}
	ones, _ := r.Dst.Mask.Size()
	return ones == 0 && r.Dst.IP.IsUnspecified()
}

func device(r netlink.Route) int {
	if r.LinkIndex == 0 && len(r.MultiPath) > 0 {
		return r.MultiPath[0].LinkIndex
	}
	return r.LinkIndex
}
