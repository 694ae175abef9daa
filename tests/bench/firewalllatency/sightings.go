package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/rest"

	"github.com/kedge-io/kedge/internal/lifecycle"
	"github.com/kedge-io/kedge/tests/lab/cluster"
)

// sightings are when each of many saw a step.
type sightings struct {
	mu    sync.Mutex
	at    map[string]map[string]time.Time // step -> who -> when, for the first time
	ready map[string]bool
}

func newSightings() *sightings {
	return &sightings{at: map[string]map[string]time.Time{}, ready: map[string]bool{}}
}

func (s *sightings) saw(step, who string, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at[step] == nil {
		s.at[step] = map[string]time.Time{}
	}
	if _, again := s.at[step][who]; !again {
		s.at[step][who] = at
	}
}

func (s *sightings) of(step string) []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []time.Time
	for _, at := range s.at[step] {
		list = append(list, at)
	}
	return list
}

// read takes lines of a crowd: "STEP WHO NANOSECONDS", or "ready WHO 0".
func (s *sightings) read(r io.Reader) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) != 3 {
			continue
		}
		if words[0] == "ready" {
			s.mu.Lock()
			s.ready[words[1]] = true
			s.mu.Unlock()
			continue
		}
		if at, err := strconv.ParseInt(words[2], 10, 64); err == nil {
			s.saw(words[0], words[1], time.Unix(0, at))
		}
	}
}

func (s *sightings) readies() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.ready)
}

var steps = regexp.MustCompile(`step-(\d+)`)

// newest is the latest step that is named in a line: what kubectl keeps beside an
// object names earlier ones.
func newest(line string) (step string) {
	highest := 0
	for _, m := range steps.FindAllStringSubmatch(line, -1) {
		if n, _ := strconv.Atoi(m[1]); n > highest {
			highest, step = n, m[0]
		}
	}
	return step
}

// watchAPI watches both kinds of objects beside the server, until the end.
func (b *bench) watchAPI() {
	client, err := rest.HTTPClientFor(b.Config)
	cluster.Must(b.t, err)
	ctx, cancel := context.WithCancel(b.t.Context())
	b.t.Cleanup(cancel)
	for _, resource := range []string{"edgefirewalls", "addresssets"} {
		up := make(chan struct{})
		go watch(ctx, client, b.Config.Host, resource, sync.OnceFunc(func() { close(up) }),
			func(step string) { b.seen.saw(step, "api", time.Now()) })
		select {
		case <-up:
		case <-time.After(stepTime):
			b.t.Fatalf("no watch of %s after %v", resource, stepTime)
		}
	}
}

// watch watches the objects of a kind until ctx ends. The API ends watches now and
// then, the first ones when it has learned another kind of objects.
func watch(ctx context.Context, client *http.Client, server, resource string, up func(), tell func(step string)) {
	for ctx.Err() == nil {
		url := server + "/apis/edge.kedge.io/v1alpha1/" + resource + "?watch=1&resourceVersion=0"
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return
		}
		resp, err := client.Do(req)
		if err == nil && resp.StatusCode == http.StatusOK {
			up()
			follow(resp.Body, tell)
		}
		if err == nil {
			_ = resp.Body.Close()
		}
		lifecycle.Pause(ctx, 100*time.Millisecond)
	}
}

// follow tells of the step that each line names.
func follow(r io.Reader, tell func(step string)) {
	lines := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := lines.ReadString('\n')
		if step := newest(line); step != "" {
			tell(step)
		}
		if err != nil {
			return
		}
	}
}
