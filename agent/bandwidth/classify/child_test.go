//go:build namespace

package classify

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/nethost"
)

// childVariable holds what this binary does instead of testing, once it is
// started again by program: "CGROUP VERB ADDRESS [PRIORITY]".
const childVariable = "KEDGE_TEST_CLASSIFY"

// within is a generous bound on what must come about.
const within = 20 * time.Second

func TestMain(m *testing.M) {
	if text := os.Getenv(childVariable); text != "" {
		if err := child(strings.Fields(text)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child goes into its cgroup before it makes a socket, says "ready" on stdout
// and, where it serves, ends with its stdin.
func child(words []string) error {
	if err := os.WriteFile(filepath.Join(words[0], "cgroup.procs"), []byte("0"), 0); err != nil {
		return err
	}
	verb, addr := words[1], words[2]
	priority := 0
	if len(words) > 3 {
		priority, _ = strconv.Atoi(words[3])
	}
	control := func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) {
			if priority > 0 {
				if err := unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PRIORITY, priority); err != nil {
					fmt.Fprintln(os.Stderr, err)
				}
			}
		})
	}
	switch verb {
	case "serve-tcp":
		return serveTCP(addr, control)
	case "serve-udp":
		return serveUDP(addr, true)
	case "sink-udp":
		return serveUDP(addr, false)
	case "talk-tcp", "talk-udp":
		return talk(strings.TrimPrefix(verb, "talk-"), addr, control)
	case "from-tcp":
		return talkBy(&net.Dialer{Timeout: within, LocalAddr: &net.TCPAddr{Port: priority}}, "tcp", addr)
	case "ask-udp":
		return ask(addr, priority) // which is a port here
	case "tell-udp":
		c, err := net.Dial("udp", addr)
		if err == nil {
			_, err = c.Write([]byte("hello"))
		}
		return err
	}
	return fmt.Errorf("unknown verb %q", verb)
}

type control = func(network, address string, c syscall.RawConn) error

func serveTCP(addr string, ctl control) error {
	l, err := (&net.ListenConfig{Control: ctl}).Listen(context.Background(), "tcp", addr)
	if err != nil {
		return err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			// Accepted sockets have priority 0, whatever the listener has.
			if raw, err := c.(*net.TCPConn).SyscallConn(); err == nil {
				_ = ctl("", "", raw)
			}
			go func() { _, _ = io.Copy(c, c); _ = c.Close() }()
		}
	}()
	return untilTheEnd()
}

func serveUDP(addr string, answers bool) error {
	c, err := net.ListenPacket("udp", addr)
	if err != nil {
		return err
	}
	go func() {
		buf := make([]byte, 64<<10)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			fmt.Println("heard")
			if answers {
				_, _ = c.WriteTo(buf[:n], from)
			}
		}
	}()
	return untilTheEnd()
}

func untilTheEnd() error {
	fmt.Println("ready")
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// talk has its words sent back, three times.
func talk(network, addr string, ctl control) error {
	return talkBy(&net.Dialer{Control: ctl, Timeout: within}, network, addr)
}

func talkBy(d *net.Dialer, network, addr string) error {
	c, err := d.Dial(network, addr)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(within))
	for range 3 {
		if _, err := c.Write([]byte("hello")); err != nil {
			return err
		}
		if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
			return err
		}
	}
	if tcp, ok := c.(*net.TCPConn); ok { // no packet is to come after the child's end
		_ = tcp.CloseWrite()
		_, _ = io.Copy(io.Discard, c)
	}
	return nil
}

// ask is talk without a connected socket.
func ask(addr string, from int) error {
	c, err := net.ListenPacket("udp", ":"+strconv.Itoa(from))
	if err != nil {
		return err
	}
	_ = c.SetDeadline(time.Now().Add(within))
	for range 3 {
		if _, err := c.WriteTo([]byte("hello"), net.UDPAddrFromAddrPort(netip.MustParseAddrPort(addr))); err != nil {
			return err
		}
		if _, _, err := c.ReadFrom(make([]byte, 5)); err != nil {
			return err
		}
	}
	return nil
}

// cgroups makes cgroup2 folders of a test.
type cgroups struct {
	t   testing.TB
	dir string
}

func newCgroups(t testing.TB) *cgroups {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(mounts), "\n") {
		if f := strings.Fields(line); len(f) > 2 && f[2] == "cgroup2" {
			g := &cgroups{t: t, dir: filepath.Join(f[1], fmt.Sprintf("kedge-test-%d-%s", os.Getpid(), strings.ReplaceAll(t.Name(), "/", "-")))}
			g.make("")
			return g
		}
	}
	testx.Missing(t, "a cgroup2 mount")
	return nil
}

// make returns the folder and its identity.
func (g *cgroups) make(name string) (path string, id uint64) {
	g.t.Helper()
	path = filepath.Join(g.dir, name)
	if err := os.Mkdir(path, 0o755); err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), within)
		defer cancel()
		if err := testx.Poll(ctx, func(context.Context) error { return os.Remove(path) }); err != nil {
			g.t.Error(err)
		}
	})
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		g.t.Fatal(err)
	}
	return path, st.Ino
}

// another is this program once more with a line to do. The race detector would
// have each of them wait a second at its end.
func another(words []any) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), childVariable+"="+strings.TrimSpace(fmt.Sprintln(words...)), "GORACE=atexit_sleep_ms=0")
	return cmd
}

// start runs a child in a host and returns its lines. It ends with the test.
func start(t testing.TB, h *nethost.Host, words ...any) *bufio.Scanner {
	t.Helper()
	cmd := another(words)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	h.Do(func() { err = cmd.Start() })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stdin.Close(); _ = cmd.Wait() })
	lines := bufio.NewScanner(stdout)
	if !lines.Scan() || lines.Text() != "ready" {
		t.Fatalf("%v: %q, %v", words, lines.Text(), lines.Err())
	}
	return lines
}

// run runs a child in a host to its end.
func run(t testing.TB, h *nethost.Host, words ...any) {
	t.Helper()
	cmd := another(words)
	var out []byte
	var err error
	h.Do(func() { out, err = cmd.CombinedOutput() })
	if err != nil {
		t.Fatalf("%v: %v: %s", words, err, out)
	}
}
