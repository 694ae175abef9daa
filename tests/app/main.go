package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	name, args := filepath.Base(os.Args[0]), os.Args[1:]
	if name == "app" && len(args) > 0 && tools[args[0]] != nil {
		name, args = args[0], args[1:]
	}
	tool, ok := tools[name]
	if !ok {
		tool = serve
	}
	if err := tool(args); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

// tools are the other names of the program.
var tools = map[string]func(args []string) error{
	"echo": echo, "sleep": wait, "fill": fill, "sum": sum, "get": get, "tar": tarMain, "test": testMain,
	"apis": apis, "burn": burn, "shout": shout,
}

// stopped ends with SIGTERM or SIGINT.
func stopped() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
}

func serve(args []string) error {
	flags := flag.NewFlagSet("app", flag.ContinueOnError)
	listen := flags.String("listen", ":8080", "address to serve on")
	more := flags.String("more", "", "further addresses to serve on, with commas between them")
	dir := flags.String("dir", "/data", "directory of the counter")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx, cancel := stopped()
	defer cancel()
	handler := newServer(*dir)
	all := strings.FieldsFunc(*listen+","+*more, func(r rune) bool { return r == ',' })
	ended := make(chan error, len(all))
	for _, address := range all {
		go func() { ended <- serveAt(ctx, address, handler) }()
	}
	return <-ended
}

// serveAt serves HTTP and returns datagrams until ctx ends.
func serveAt(ctx context.Context, address string, handler http.Handler) error {
	datagrams, err := net.ListenPacket("udp", address)
	if err != nil {
		return err
	}
	defer func() { _ = datagrams.Close() }()
	go echoDatagrams(datagrams)
	server := &http.Server{Addr: address, Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	fmt.Println("serving on", address)
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// linger is how long echo stays after its input has ended. The container runtime
// drops what a container wrote just before it ended, for whoever attached just
// before that.
const linger = 2 * time.Second

// echo answers each line with "echo: " and the line, until the input ends.
func echo([]string) error {
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		fmt.Println("echo:", in.Text())
	}
	<-time.After(linger)
	return in.Err()
}

func wait([]string) error {
	ctx, cancel := stopped()
	defer cancel()
	<-ctx.Done()
	return nil
}

// shout sends datagrams to each address from its first moment on, until a signal
// comes. What the kernel refuses is tried again.
func shout(args []string) error {
	const pause = time.Millisecond
	ctx, cancel := stopped()
	defer cancel()
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for ctx.Err() == nil {
		for _, address := range args {
			conn, err := net.Dial("udp", address)
			if err != nil {
				return err
			}
			_, _ = conn.Write([]byte("hello"))
			_ = conn.Close()
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	return nil
}

func fill(args []string) error {
	if len(args) != 2 {
		return errors.New("want FILE BYTES")
	}
	n, err := strconv.ParseInt(args[1], 10, 64)
	if err != nil {
		return err
	}
	f, err := os.Create(args[0])
	if err != nil {
		return err
	}
	_, err = io.Copy(f, reproducible(n))
	return errors.Join(err, f.Close())
}

func sum(args []string) error {
	if len(args) != 1 {
		return errors.New("want FILE")
	}
	f, err := os.Open(args[0])
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	fmt.Printf("%x\n", h.Sum(nil))
	return nil
}

func get(args []string) error {
	if len(args) != 1 {
		return errors.New("want URL")
	}
	return fetch(context.Background(), args[0], os.Stdout)
}

// fetch writes the body behind url; any status but 200 is an error.
func fetch(ctx context.Context, url string, w io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	// A new connection each time, so that every request is balanced afresh.
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	_, err = io.Copy(w, resp.Body)
	return err
}
