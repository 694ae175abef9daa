package inventory

import (
	"errors"
	"fmt"
	"os"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// place is where a pod is in the kernel.
type place struct {
	hostNetwork   bool
	link, netnsID int
}

// nowhere is the place of a pod that cannot be found.
var nowhere = place{netnsID: -1}

var (
	errUnseen = errors.New("it was not looked for yet")
	errNoNS   = errors.New("its network namespace is gone")
)

// podLink is the name that the pod network gives to a pod's end of the pair.
const podLink = "eth0"

// locator finds pods. netns is a path or empty, holder a process in the pod's
// namespaces or 0.
type locator interface {
	locate(netns string, holder int) (place, error)
	// watch calls vanished with the index of each link that is removed, and with
	// 0 when some may have been missed, from one goroutine, until the returned
	// function was called.
	watch(vanished func(link int)) (stop func(), err error)
}

// kernel is the locator of a network namespace.
type kernel struct {
	ns  netns.NsHandle
	own nsName
	h   *netlink.Handle
	err error
}

// nsName tells whether two namespaces are the same.
type nsName struct{ dev, ino uint64 }

func nameOf(fd int) (nsName, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nsName{}, err
	}
	return nsName{st.Dev, st.Ino}, nil //nolint:unconvert // 32 bits on some architectures
}

// newKernel takes the namespace of the calling thread.
func newKernel() *kernel {
	k := &kernel{}
	if k.ns, k.err = netns.Get(); k.err != nil {
		return k
	}
	if k.own, k.err = nameOf(int(k.ns)); k.err != nil {
		return k
	}
	k.h, k.err = netlink.NewHandle(unix.NETLINK_ROUTE)
	return k
}

func (k *kernel) locate(path string, holder int) (place, error) {
	if k.err != nil {
		return nowhere, fmt.Errorf("look at the network: %w", k.err)
	}
	ns, err := openNS(path, holder)
	if err != nil {
		return nowhere, err
	}
	defer func() { _ = ns.Close() }()
	fd := int(ns.Fd())
	if name, err := nameOf(fd); err != nil || name == k.own {
		return place{hostNetwork: true, netnsID: -1}, err
	}
	id, err := k.netnsID(fd)
	if err != nil {
		return nowhere, fmt.Errorf("number of its network namespace: %w", err)
	}
	link, err := k.hostEnd(fd, id)
	return place{link: link, netnsID: id}, err
}

// openNS opens the namespace by its name, or where that was taken away by a
// process that keeps it alive.
func openNS(path string, holder int) (*os.File, error) {
	if path != "" {
		if f, err := os.Open(path); err == nil {
			var st unix.Statfs_t
			if unix.Fstatfs(int(f.Fd()), &st) == nil && st.Type == unix.NSFS_MAGIC {
				return f, nil
			}
			_ = f.Close() // the mount was taken away and left a plain file
		}
	}
	if holder > 0 {
		if f, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", holder)); err == nil {
			return f, nil
		}
	}
	return nil, errNoNS
}

// netnsID returns what this namespace calls the other, and makes it call it
// something if it does not yet.
func (k *kernel) netnsID(fd int) (int, error) {
	id, err := k.h.GetNetNsIdByFd(fd)
	if err != nil || id >= 0 {
		return id, err
	}
	// -1 lets the kernel choose (rtnetlink(7), RTM_NEWNSID). Somebody else may
	// have been faster, which the next question shows.
	set := k.h.SetNetNsIdByFd(fd, -1)
	if id, err = k.h.GetNetNsIdByFd(fd); err == nil && id < 0 {
		err = errors.Join(errors.New("the kernel gives none"), set)
	}
	return id, err
}

// hostEnd returns the index of the link here that is the other end of the pod's.
// A pod that may administer its own network can rename or replace its end: then
// the link here that leads to its namespace is taken, so that no limit is lost.
func (k *kernel) hostEnd(fd, id int) (int, error) {
	link, err := k.peer(fd, id)
	if err != nil {
		if found := k.leadingTo(id); found > 0 {
			return found, nil
		}
	}
	return link, err
}

// leadingTo is the oldest end of a veth pair here whose other end is in the
// namespace with that number; 0 for none. Nobody in there can make one.
func (k *kernel) leadingTo(id int) int {
	all, _ := k.h.LinkList() // some are better than none
	oldest := 0
	for _, l := range all {
		a := l.Attrs()
		if l.Type() == "veth" && a.NetNsID == id && (oldest == 0 || a.Index < oldest) {
			oldest = a.Index
		}
	}
	return oldest
}

// peer asks the pod's own end for the other one.
func (k *kernel) peer(fd, id int) (int, error) {
	inside, err := netlink.NewHandleAt(netns.NsHandle(fd), unix.NETLINK_ROUTE)
	if err != nil {
		return 0, fmt.Errorf("look into its network namespace: %w", err)
	}
	defer inside.Close()
	eth, err := inside.LinkByName(podLink)
	if err != nil {
		return 0, fmt.Errorf("its link %s: %w", podLink, err)
	}
	if eth.Type() != "veth" {
		return 0, fmt.Errorf("its link %s is %s: only veth pairs can be shaped", podLink, eth.Type())
	}
	// Indexes are numbers of a namespace: look whether the one here agrees.
	here, err := k.h.LinkByIndex(eth.Attrs().ParentIndex)
	if err != nil {
		return 0, fmt.Errorf("the host's end of %s: %w", podLink, err)
	}
	if here.Type() != "veth" || here.Attrs().ParentIndex != eth.Attrs().Index || here.Attrs().NetNsID != id {
		return 0, fmt.Errorf("the other end of %s is not on this host", podLink)
	}
	return here.Attrs().Index, nil
}
