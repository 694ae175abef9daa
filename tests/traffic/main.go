package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/kedge-io/kedge/tests/traffic/flow"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "traffic:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	flags := flag.NewFlagSet("traffic", flag.ContinueOnError)
	control := flags.String("control", ":9000", "address for jobs")
	data := flags.String("data", ":9001", "address for others' traffic, TCP and UDP")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	far, err := flow.Serve(*data)
	if err != nil {
		return err
	}
	defer far.Close()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("POST /run", runJob)
	mux.HandleFunc("POST /iperf3", runIperf)
	server := &http.Server{Addr: *control, Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	fmt.Println("serving on", *control, "and", *data)
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func runJob(w http.ResponseWriter, r *http.Request) {
	var job flow.Job
	if err := json.NewDecoder(r.Body).Decode(&job); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	_ = json.NewEncoder(w).Encode(job.Run(r.Context()))
}

// runIperf runs iperf3. With an error of its own it still prints a document that says so.
func runIperf(w http.ResponseWriter, r *http.Request) {
	var args []string
	if err := json.NewDecoder(r.Body).Decode(&args); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	cmd := exec.CommandContext(r.Context(), "/usr/bin/iperf3", args...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil && out.Len() == 0 {
		http.Error(w, fmt.Sprintf("iperf3 %q: %v: %s", args, err, errOut.String()), http.StatusBadGateway)
		return
	}
	_, _ = out.WriteTo(w)
}
