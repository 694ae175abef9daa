package tun

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/tunnel/relay/packet"
)

const control = "/dev/net/tun"

// From include/uapi/linux/if_tun.h; Linux 6.2 added those for UDP.
const (
	offloadChecksum = 0x01 // TUN_F_CSUM
	offloadTCP4     = 0x02 // TUN_F_TSO4
	offloadTCP6     = 0x04 // TUN_F_TSO6
	offloadUDP4     = 0x20 // TUN_F_USO4
	offloadUDP6     = 0x40 // TUN_F_USO6
)

// ErrMissing is wrapped by [Open] on a host without TUN devices.
var ErrMissing = errors.New("this host has no TUN devices: load the module tun (modprobe tun), or give the machine " + control)

// Device is the open device. Packets may be written by several goroutines at a
// time and read by one.
type Device struct {
	name string
	file *os.File
	// fd is file's, for writes that need not wait in turn for each other.
	fd int
	// open is held by writers, so that fd is not closed under them.
	open   sync.RWMutex
	closed bool
}

// Open makes or adopts the device called name in the network namespace of the
// calling thread. The device is not yet up: see [Configure]. Errors say what to
// do; ErrMissing is one of them.
func Open(name string) (*Device, error) {
	fd, err := unix.Open(control, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return nil, ErrMissing
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("opening %s: %w: allow this machine the device (a container needs it passed in) and CAP_NET_ADMIN", control, err)
	case err != nil:
		return nil, fmt.Errorf("opening %s: %w", control, err)
	}
	if err := attach(fd, name); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	// Only now: the poller takes a file that is attached.
	return &Device{name: name, file: os.NewFile(uintptr(fd), control), fd: fd}, nil //nolint:gosec // a descriptor is not negative
}

func attach(fd int, name string) error {
	req, err := unix.NewIfreq(name)
	if err != nil {
		return fmt.Errorf("device name %q: %w", name, err)
	}
	req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	switch {
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("device %s is in use: another kedge runs in this network namespace, stop it", name)
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EEXIST):
		return fmt.Errorf("link %s was made by somebody else, and the relay needs the name: remove it with \"ip link delete %s\"", name, name)
	case err != nil:
		return fmt.Errorf("making device %s: %w", name, err)
	}
	// Sizes of the header are the same on all machines of a cluster.
	if err := unix.IoctlSetPointerInt(fd, unix.TUNSETVNETLE, 1); err != nil {
		return fmt.Errorf("choosing the byte order of device %s: %w", name, err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TUNSETVNETHDRSZ, packet.HeaderLen); err != nil {
		return fmt.Errorf("choosing the header of device %s: %w", name, err)
	}
	const usual = offloadChecksum | offloadTCP4 | offloadTCP6
	if unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, usual|offloadUDP4|offloadUDP6) != nil {
		if err := unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, usual); err != nil {
			return fmt.Errorf("letting device %s take joined packets: %w", name, err)
		}
	}
	if err := unix.IoctlSetInt(fd, unix.TUNSETPERSIST, 1); err != nil {
		return fmt.Errorf("making device %s outlive this process: %w", name, err)
	}
	return nil
}

// ReadPacket reads one packet with its virtio_net_hdr into buf, which has room
// for packet.MaxLen bytes, and returns its length. It waits for a packet, and
// returns an error that wraps os.ErrClosed once the device is closed.
func (d *Device) ReadPacket(buf []byte) (int, error) {
	for {
		n, err := d.file.Read(buf)
		switch {
		case err == nil:
			return n, nil
		case errors.Is(err, syscall.EIO), errors.Is(err, syscall.EBADFD):
			// EBADFD: the link was deleted under us.
			return 0, fmt.Errorf("reading device %s: %w", d.name, err)
		case errors.Is(err, syscall.EINTR), errors.Is(err, syscall.EAGAIN):
			continue
		default:
			return 0, err
		}
	}
}

// WritePacket gives the kernel one packet with its virtio_net_hdr, as if it
// had come in by a cable. It does not wait: the kernel takes a packet as far as
// the pod, or drops it. An error says that this packet is lost; the kernel
// refuses one whose header lies.
func (d *Device) WritePacket(p []byte) error {
	d.open.RLock()
	defer d.open.RUnlock()
	if d.closed {
		return os.ErrClosed
	}
	_, err := unix.Write(d.fd, p)
	return err
}

// Close lets go of the device, which stays. A pending read returns.
func (d *Device) Close() error {
	d.open.Lock()
	defer d.open.Unlock()
	if d.closed {
		return nil
	}
	d.closed = true
	return d.file.Close()
}
