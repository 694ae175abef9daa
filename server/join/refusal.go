package join

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/kedge-io/kedge/internal/wire"
)

// retryAfter is what a client that came too early is told, in seconds.
const retryAfter = "2"

func refuse(code wire.Code, format string, args ...any) *wire.Refusal {
	return &wire.Refusal{Code: code, Message: fmt.Sprintf(format, args...)}
}

func statusOf(code wire.Code) int {
	switch code {
	case wire.CodeBadRequest:
		return http.StatusBadRequest
	case wire.CodeTokenMissing, wire.CodeTokenFormat, wire.CodeTokenUnknown, wire.CodeTokenExpired, wire.CodeTokenUsedUp:
		return http.StatusUnauthorized
	case wire.CodeIdentity:
		return http.StatusForbidden
	case wire.CodeNodeNameTaken:
		return http.StatusConflict
	case wire.CodeNotReady, wire.CodeBusy:
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}

// asRefusal turns an error into what the client is told. Errors without a
// refusal come from the API, which is starting, stopping or overloaded: their
// text is not for strangers.
func asRefusal(err error) *wire.Refusal {
	var refusal *wire.Refusal
	if errors.As(err, &refusal) {
		return refusal
	}
	return refuse(wire.CodeNotReady, "the server is not ready to answer yet: try again")
}

func writeRefusal(w http.ResponseWriter, refusal *wire.Refusal) {
	status := statusOf(refusal.Code)
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", retryAfter)
	}
	writeJSON(w, status, refusal)
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	// The client may be gone; there is nobody to tell.
	_ = json.NewEncoder(w).Encode(body)
}

func retryPolicy() wait.Backoff {
	return wait.Backoff{Duration: 10 * time.Millisecond, Factor: 1.5, Jitter: 1, Steps: 20, Cap: time.Second}
}
