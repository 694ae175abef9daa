package relay

import (
	"bytes"
	"encoding/binary"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a device that gives what it has and keeps what it gets.
type fake struct {
	give [][]byte
	got  [][]byte
	end  error
}

func (f *fake) ReadPacket(buf []byte) (int, error) {
	if len(f.give) == 0 {
		return 0, f.end
	}
	n := copy(buf, f.give[0])
	f.give = f.give[1:]
	return n, nil
}

func (f *fake) WritePacket(p []byte) error {
	f.got = append(f.got, bytes.Clone(p))
	return nil
}

// fakeLink is a link that takes room packets.
type fakeLink struct {
	room int
	got  [][]byte
}

func (l *fakeLink) Send(p []byte) bool {
	if len(l.got) == l.room {
		return false
	}
	l.got = append(l.got, bytes.Clone(p))
	return true
}

func (l *fakeLink) SetReceiver(func([]byte)) {}

func newFlow(link Link, device *fake, log *bytes.Buffer) *flow {
	f := &flow{Relay: New(Config{Link: link}, slog.New(slog.NewTextHandler(log, nil))), device: device}
	pods := netip.MustParsePrefix("10.42.1.1/24")
	f.pods.Store(&pods)
	return f
}

func udp(from, to string) []byte {
	p := make([]byte, 10+28)
	ip := p[10:]
	ip[0], ip[8], ip[9] = 0x45, 64, 17
	binary.BigEndian.PutUint16(ip[2:], 28)
	copy(ip[12:], netip.MustParseAddr(from).AsSlice())
	copy(ip[16:], netip.MustParseAddr(to).AsSlice())
	return p
}

func TestOnlyPacketsOfThisNodesRangeLeave(t *testing.T) {
	var log bytes.Buffer
	link := &fakeLink{room: 2}
	own, node := udp("10.42.1.5", "10.42.2.7"), udp("10.42.1.1", "10.42.2.7")
	six := udp("10.42.1.5", "10.42.2.7")
	six[10] = 0x60
	f := newFlow(link, &fake{end: os.ErrClosed, give: [][]byte{
		own, udp("192.168.1.5", "10.42.2.7"), udp("10.42.3.5", "10.42.2.7"), {1}, six, node, own,
	}}, &log)
	if err := f.send(); err != nil {
		t.Fatal(err)
	}
	if len(link.got) != 2 || !bytes.Equal(link.got[0], own) || !bytes.Equal(link.got[1], node) {
		t.Errorf("%d left", len(link.got))
	}
	if st := f.Stats(); st.Sent != 2 || st.Lost != 1 || st.RefusedOut != 4 {
		t.Errorf("%+v", st)
	}
	if lines := strings.Count(log.String(), "\n"); lines != 2 || strings.Contains(log.String(), "ipv6") {
		t.Errorf("log: %s", &log)
	}
}

func TestSendEndsWithTheDevice(t *testing.T) {
	broken := errors.New("broken")
	f := newFlow(&fakeLink{}, &fake{end: broken}, &bytes.Buffer{})
	if err := f.send(); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

func TestOnlyPacketsFromElsewhereForThisNodeEnter(t *testing.T) {
	var log bytes.Buffer
	device := &fake{}
	f := newFlow(&fakeLink{}, device, &log)
	good := udp("10.42.2.7", "10.42.1.5")
	for _, p := range [][]byte{
		good, udp("10.42.2.7", "10.42.1.1"), udp("10.42.1.9", "10.42.1.5"), udp("10.42.2.7", "10.42.3.5"),
		udp("10.42.2.7", "127.0.0.1"), nil, good[:20],
	} {
		f.receive(p)
	}
	if len(device.got) != 2 || !bytes.Equal(device.got[0], good) {
		t.Errorf("%d entered", len(device.got))
	}
	if st := f.Stats(); st.Received != 2 || st.RefusedIn != 5 {
		t.Errorf("%+v", st)
	}
}
