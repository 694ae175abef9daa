package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"flag"
	"io"
	"log/slog"
	"net"
	"net/http"
	_ "net/http/pprof" // profiles of the server
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kedge-io/kedge/tests/bench/bed"
	"github.com/kedge-io/kedge/tunnel"
)

// arrivals is how many agents are connected.
type arrivals struct{ Connected int }

// dialled sums up one request to each agent, in milliseconds.
type dialled struct {
	P50, P99 float64
	Failures int
}

// server is the process of the server's end. Its other listener tells how it is.
func server(args []string) error {
	flags := flag.NewFlagSet("server", flag.ExitOnError)
	kind := flags.String("kind", kindKedge, "")
	dir := flags.String("dir", "", "")
	count := flags.Int("agents", 0, "")
	_ = flags.Parse(args)
	var connected func() int
	if *kind == kindTLS {
		var n atomic.Int64
		if err := serveTLS(*dir, &n); err != nil {
			return err
		}
		connected = func() int { return int(n.Load()) }
	} else {
		f := newFirewall(*count)
		h, err := bed.ServeHub(*dir, serverAddr, f, slog.New(slog.NewTextHandler(os.Stderr, nil)))
		if err != nil {
			return err
		}
		f.hub = h
		f.Kick()
		go f.Run(context.Background(), f.source)
		http.HandleFunc("/change", f.changeOnce)
		connected = func() int { return len(ready(h)) }
		http.HandleFunc("/dial", func(w http.ResponseWriter, _ *http.Request) { reply(w, dialAll(h)) })
	}
	http.HandleFunc("/agents", func(w http.ResponseWriter, _ *http.Request) { reply(w, arrivals{connected()}) })
	http.HandleFunc("/memory", func(w http.ResponseWriter, _ *http.Request) { reply(w, memory()) })
	return http.ListenAndServe(adminAddr, nil)
}

func reply(w http.ResponseWriter, v any) { _ = json.NewEncoder(w).Encode(v) }

func memory() look {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return look{Heap: int64(m.HeapAlloc), Stacks: int64(m.StackInuse), Goroutines: runtime.NumGoroutine()}
}

// ready are the nodes that can be dialled now.
func ready(h *bed.Hub) []tunnel.NodeName {
	var names []tunnel.NodeName
	for _, st := range h.Status() {
		if st.Connected {
			names = append(names, st.Node)
		}
	}
	return names
}

// dialAll makes one request to the fake kubelet of each agent, 32 at a time.
func dialAll(h *bed.Hub) dialled {
	var mu sync.Mutex
	var times []time.Duration
	var d dialled
	var wg sync.WaitGroup
	names := make(chan tunnel.NodeName)
	for range 32 {
		wg.Go(func() {
			for name := range names {
				took, err := request(h, name)
				mu.Lock()
				if err != nil {
					d.Failures++
				} else {
					times = append(times, took)
				}
				mu.Unlock()
			}
		})
	}
	for _, name := range ready(h) {
		names <- name
	}
	close(names)
	wg.Wait()
	d.P50 = float64(bed.Percentile(times, 0.5)) / float64(time.Millisecond)
	d.P99 = float64(bed.Percentile(times, 0.99)) / float64(time.Millisecond)
	return d
}

func request(h *bed.Hub, name tunnel.NodeName) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	began := time.Now()
	conn, err := h.DialNode(ctx, name, "tcp", kubeletOf(name))
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(began.Add(10 * time.Second))
	buf := make([]byte, 100)
	if _, err := conn.Write(buf); err != nil {
		return 0, err
	}
	_, err = io.ReadFull(conn, buf)
	return time.Since(began), err
}

// serveTLS holds idle connections, each with a goroutine that reads.
func serveTLS(dir string, connected *atomic.Int64) error {
	config, err := bed.ServerTLS(dir)
	if err != nil {
		return err
	}
	config.NextProtos = nil
	listener, err := tls.Listen("tcp", serverAddr, config)
	if err != nil {
		return err
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				if conn.(*tls.Conn).Handshake() != nil {
					return
				}
				connected.Add(1)
				defer connected.Add(-1)
				_, _ = conn.Read(make([]byte, 1))
			}()
		}
	}()
	return nil
}

// Fake kubelets listen on ports from firstPort on.
const firstPort = 20000

func kubeletOf(name tunnel.NodeName) string {
	return net.JoinHostPort("127.0.0.1", portOf(string(name)))
}
