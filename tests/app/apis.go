package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"time"
)

// apis serves what the API server calls by TLS: a validating webhook and an
// aggregated API.
func apis(args []string) error {
	flags := flag.NewFlagSet("apis", flag.ContinueOnError)
	listen := flags.String("listen", ":8443", "address to serve on")
	cert := flags.String("cert", "/tls/tls.crt", "certificate")
	key := flags.String("key", "/tls/tls.key", "its key")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx, cancel := stopped()
	defer cancel()
	server := &http.Server{Addr: *listen, Handler: newAPIs(), ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	fmt.Println("serving on", *listen)
	if err := server.ListenAndServeTLS(*cert, *key); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// object is any JSON object.
type object = map[string]any

func newAPIs() http.Handler {
	const group, version = "app.kedge.test", "v1"
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("POST /validate", validate)
	mux.HandleFunc("GET /apis/"+group+"/"+version, func(w http.ResponseWriter, _ *http.Request) {
		answer(w, object{"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group + "/" + version, "resources": []object{{
			"name": "hosts", "singularName": "host", "namespaced": false, "kind": "Host", "verbs": []string{"list"},
		}}})
	})
	mux.HandleFunc("GET /apis/"+group+"/"+version+"/hosts", func(w http.ResponseWriter, r *http.Request) {
		name, _ := os.Hostname()
		answer(w, object{"kind": "HostList", "apiVersion": group + "/" + version, "metadata": object{}, "items": []object{{
			"kind": "Host", "apiVersion": group + "/" + version, "metadata": object{"name": name},
			"askedBy": r.Header.Get("X-Remote-User"),
		}}})
	})
	return mux
}

// validate refuses objects with the label "refuse" and says which pod did.
func validate(w http.ResponseWriter, r *http.Request) {
	var review struct {
		Request struct {
			UID    string `json:"uid"`
			Object struct {
				Metadata struct {
					Labels map[string]string `json:"labels"`
				} `json:"metadata"`
			} `json:"object"`
		} `json:"request"`
	}
	if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	_, refused := review.Request.Object.Metadata.Labels["refuse"]
	name, _ := os.Hostname()
	answer(w, object{"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": object{
		"uid": review.Request.UID, "allowed": !refused, "status": object{"message": "decided by " + name},
	}})
}

func answer(w http.ResponseWriter, o object) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(o)
}

// burn keeps a twentieth of a processor busy until a signal comes.
func burn([]string) error {
	const busy, period = 5 * time.Millisecond, 100 * time.Millisecond
	ctx, cancel := stopped()
	defer cancel()
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case start := <-tick.C:
			for time.Since(start) < busy { //nolint:revive // the point is to be busy
			}
		}
	}
}
