package lab

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Sizes of a delay line, in bytes.
const (
	// largest frame with offloads: the header of virtio, Ethernet and 64 KiB of IP.
	largest = 10 + 14 + 64<<10
	// heldBack in one direction, about 100 ms of 2.5 Gbit/s. What comes on top is dropped.
	heldBack = 32 << 20
)

// delayLine carries frames between two TAP devices and holds each back for a time. The kernel's own
// means, netem, is not everywhere; this one needs no module.
type delayLine struct {
	a, b *os.File
	wg   sync.WaitGroup
}

// plugDelayed is plug with a delay line for a cable.
func (n *network) plugDelayed(bridge, port string, peer *network, device string, delay time.Duration) (*Link, *delayLine, error) {
	a, err := n.tap(port)
	if err != nil {
		return nil, nil, err
	}
	b, err := peer.tap(device)
	if err != nil {
		return nil, nil, errors.Join(err, a.Close())
	}
	l := &delayLine{a: a, b: b}
	br, err := n.nl.LinkByName(bridge)
	if err == nil {
		link, lerr := n.nl.LinkByName(port)
		if err = lerr; err == nil {
			err = n.nl.LinkSetMaster(link, br)
		}
	}
	if err := errors.Join(err, n.up(port)); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("plug %s into %s: %w", port, bridge, err), a.Close(), b.Close())
	}
	l.wg.Go(func() { carry(b, a, delay) })
	l.wg.Go(func() { carry(a, b, delay) })
	return &Link{near: end{n, port}, far: end{peer, device}}, l, nil
}

func (l *delayLine) close() {
	if l == nil {
		return
	}
	_ = l.a.Close()
	_ = l.b.Close()
	l.wg.Wait()
}

// tap makes a TAP device in the namespace. It goes with the file. Frames carry the header of virtio
// and are not yet cut to the size of the wire, which makes the copying cheap.
func (n *network) tap(name string) (*os.File, error) {
	var f *os.File
	err := n.do(func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open /dev/net/tun: %w", err)
		}
		ifr, err := unix.NewIfreq(name)
		if err == nil {
			ifr.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
			err = unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr)
		}
		if err == nil {
			err = unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, unix.TUN_F_CSUM|unix.TUN_F_TSO4|unix.TUN_F_TSO6)
		}
		if err != nil {
			_ = unix.Close(fd)
			return fmt.Errorf("make TAP device %s: %w", name, err)
		}
		f = os.NewFile(uintptr(fd), name)
		return nil
	})
	return f, err
}

// frame is one that waits until its time has come.
type frame struct {
	due  time.Time
	data []byte
}

// carry moves frames until from is closed.
func carry(to, from *os.File, delay time.Duration) {
	const most = heldBack / 64 // of the smallest frames
	waiting := make(chan frame, most)
	var held budget
	var wg sync.WaitGroup
	wg.Go(func() { deliver(to, waiting, &held) })
	defer wg.Wait()
	defer close(waiting)
	buf := make([]byte, largest)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return // closed, or the namespace with the device is gone
		}
		if !held.take(n) {
			continue
		}
		waiting <- frame{due: time.Now().Add(delay), data: append([]byte(nil), buf[:n]...)}
	}
}

func deliver(to *os.File, waiting <-chan frame, held *budget) {
	for f := range waiting {
		if d := time.Until(f.due); d > 0 {
			<-time.After(d)
		}
		_, _ = to.Write(f.data) // to a device that is down: lost, as on a cable
		held.give(len(f.data))
	}
}

// budget counts the bytes that are held back, each frame as at least 64.
type budget struct {
	mu   sync.Mutex
	used int
}

func (b *budget) take(n int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.used+max(n, 64) > heldBack {
		return false
	}
	b.used += max(n, 64)
	return true
}

func (b *budget) give(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= max(n, 64)
}
