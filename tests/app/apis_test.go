package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestWebhookRefusesWhatHasTheLabel(t *testing.T) {
	s := httptest.NewServer(newAPIs())
	defer s.Close()
	for labels, want := range map[string]string{`{}`: `"allowed":true`, `{"refuse":"me"}`: `"allowed":false`} {
		review := `{"request":{"uid":"u1","object":{"metadata":{"labels":` + labels + `}}}}`
		resp, err := http.Post(s.URL+"/validate", "application/json", strings.NewReader(review)) //nolint:noctx // a test
		if err != nil {
			t.Fatal(err)
		}
		got, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if !strings.Contains(string(got), want) || !strings.Contains(string(got), `"uid":"u1"`) {
			t.Errorf("labels %s: %s, want %s", labels, got, want)
		}
	}
}

func TestAPIListsItsHost(t *testing.T) {
	s := httptest.NewServer(newAPIs())
	defer s.Close()
	if got, _ := body(t, http.MethodGet, s.URL+"/apis/app.kedge.test/v1/hosts"); !strings.Contains(got, `"kind":"HostList"`) {
		t.Errorf("got %s", got)
	}
}
