package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// check is one thing to try from inside the pod.
type check struct {
	// Kind is peer, hostname, get, put, tcp, udp, ping, dns or hold.
	Kind string `json:"kind"`
	// To is address:port, for ping an address, for dns a name.
	To string `json:"to"`
	// Bytes is how much to send or fetch, with get, put, udp and ping.
	Bytes int64 `json:"bytes,omitempty"`
	// Seconds bound it; hold goes on so long.
	Seconds int `json:"seconds"`
}

// result says what came of a check: Error, or in Saw the address that the other end saw, the name of
// the pod that answered, or what a name stands for.
type result struct {
	Saw    string        `json:"saw,omitempty"`
	Error  string        `json:"error,omitempty"`
	Took   time.Duration `json:"took"`
	Worked bool          `json:"worked"`
}

var checkers = map[string]func(context.Context, check) (string, error){
	"peer":     func(ctx context.Context, c check) (string, error) { return ask(ctx, "http://"+c.To+"/peer", nil) },
	"hostname": func(ctx context.Context, c check) (string, error) { return ask(ctx, "http://"+c.To+"/hostname", nil) },
	"get":      download,
	"put":      upload,
	"tcp":      connect,
	"hold":     hold,
	"udp":      udpEcho,
	"ping":     ping,
	"dns":      resolve,
}

// checks runs all that the request lists at the same time.
func (s *server) checks(w http.ResponseWriter, r *http.Request) {
	var list []check
	if err := json.NewDecoder(r.Body).Decode(&list); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	results := make([]result, len(list))
	var wg sync.WaitGroup
	for i, c := range list {
		wg.Go(func() { results[i] = c.run(r.Context()) })
	}
	wg.Wait()
	_ = json.NewEncoder(w).Encode(results)
}

func (c check) run(ctx context.Context) result {
	checker, ok := checkers[c.Kind]
	if !ok {
		return result{Error: fmt.Sprintf("kind %q is not known", c.Kind)}
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(c.Seconds)*time.Second)
	defer cancel()
	start := time.Now()
	saw, err := checker(ctx, c)
	r := result{Saw: strings.TrimSpace(saw), Took: time.Since(start), Worked: err == nil}
	if err != nil {
		r.Error = err.Error()
	}
	return r
}

// ask makes a request on a new connection. With a body it is a POST.
func ask(ctx context.Context, url string, body io.Reader) (string, error) {
	resp, err := request(ctx, url, body)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return string(text), err
}

func request(ctx context.Context, url string, body io.Reader) (*http.Response, error) {
	method := http.MethodGet
	if body != nil {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return nil, err
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err == nil && resp.StatusCode != http.StatusOK {
		_ = resp.Body.Close()
		return nil, fmt.Errorf("%s: %s", url, resp.Status)
	}
	return resp, err
}

func download(ctx context.Context, c check) (string, error) {
	resp, err := request(ctx, fmt.Sprintf("http://%s/bytes/%d", c.To, c.Bytes), nil)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	h := sha256.New()
	n, err := io.Copy(h, resp.Body)
	if got := fmt.Sprintf("%x", h.Sum(nil)); err == nil && (n != c.Bytes || got != resp.Header.Get("X-Sum")) {
		err = fmt.Errorf("%d bytes with sum %s came, want %d with %s", n, got, c.Bytes, resp.Header.Get("X-Sum"))
	}
	return "", err
}

func upload(ctx context.Context, c check) (string, error) {
	h := sha256.New()
	got, err := ask(ctx, "http://"+c.To+"/sink", io.TeeReader(reproducible(c.Bytes), h))
	want := fmt.Sprintf("%d %x", c.Bytes, h.Sum(nil))
	if err == nil && strings.TrimSpace(got) != want {
		err = fmt.Errorf("%s arrived, want %s", got, want)
	}
	return "", err
}

// connect makes a connection and no more.
func connect(ctx context.Context, c check) (string, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", c.To)
	if err == nil {
		_ = conn.Close()
	}
	return "", err
}

// hold asks again and again on one connection. It works if each question was
// answered until the time was over.
func hold(ctx context.Context, c check) (string, error) {
	const pause, patience = 100 * time.Millisecond, 2 * time.Second
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", c.To)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	answers := bufio.NewReader(conn)
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for n := 0; ; n++ {
		_ = conn.SetDeadline(time.Now().Add(patience))
		if _, err := fmt.Fprintf(conn, "GET /hostname HTTP/1.1\r\nHost: %s\r\n\r\n", c.To); err != nil {
			return fmt.Sprint(n), err
		}
		resp, err := http.ReadResponse(answers, nil)
		if err != nil {
			return fmt.Sprint(n), err
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		select {
		case <-ctx.Done():
			return fmt.Sprint(n), nil
		case <-tick.C:
		}
	}
}

func resolve(ctx context.Context, c check) (string, error) {
	addrs, err := net.DefaultResolver.LookupHost(ctx, c.To)
	slices.Sort(addrs)
	return strings.Join(addrs, " "), err
}

// resend is after which time an unanswered datagram is sent again: they may be lost.
const resend = 500 * time.Millisecond

// exchange sends the datagram until accept takes an answer.
func exchange(ctx context.Context, conn net.Conn, datagram []byte, accept func([]byte) bool) error {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	buf := make([]byte, 64<<10)
	for ctx.Err() == nil {
		if _, err := conn.Write(datagram); err != nil && ctx.Err() == nil {
			return err
		}
		_ = conn.SetReadDeadline(time.Now().Add(resend))
		for {
			n, err := conn.Read(buf)
			if err == nil && accept(buf[:n]) {
				return nil
			}
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				break
			}
			if err != nil {
				return errors.Join(ctx.Err(), err)
			}
		}
	}
	return ctx.Err()
}

// udpEcho wants its own bytes back; of a longer datagram the server puts the sender's address into
// the first seenBytes.
func udpEcho(ctx context.Context, c check) (string, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "udp", c.To)
	if err != nil {
		return "", err
	}
	datagram := make([]byte, c.Bytes)
	for i := range datagram {
		datagram[i] = byte(rand.Uint32())
	}
	saw := ""
	err = exchange(ctx, conn, datagram, func(answer []byte) bool {
		if len(answer) != len(datagram) {
			return false
		}
		if len(answer) <= seenBytes {
			return bytes.Equal(answer, datagram)
		}
		saw = strings.TrimRight(string(answer[:seenBytes]), " ")
		return bytes.Equal(answer[seenBytes:], datagram[seenBytes:])
	})
	return saw, err
}

// ping is RFC 792 with that many bytes of data.
func ping(ctx context.Context, c check) (string, error) {
	const request, reply, head = 8, 0, 8
	conn, err := (&net.Dialer{}).DialContext(ctx, "ip4:icmp", c.To)
	if err != nil {
		return "", err
	}
	p := make([]byte, head+c.Bytes)
	for i := range p {
		p[i] = byte(rand.Uint32()) // identity and data
	}
	p[0], p[1], p[2], p[3] = request, 0, 0, 0
	sum := internetSum(p)
	p[2], p[3] = byte(sum>>8), byte(sum)
	return "", exchange(ctx, conn, p, func(answer []byte) bool {
		answer = answer[max(0, len(answer)-len(p)):] // it comes with its IP header
		return len(answer) == len(p) && answer[0] == reply && bytes.Equal(answer[4:], p[4:])
	})
}

// internetSum is the checksum of RFC 1071.
func internetSum(p []byte) uint16 {
	var sum uint32
	for i, b := range p {
		sum += uint32(b) << (8 * ((i + 1) % 2))
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}
