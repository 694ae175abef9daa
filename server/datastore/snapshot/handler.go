package snapshot

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"

	"github.com/kedge-io/kedge/internal/health"
)

// Paths of the status socket of a server.
const (
	pathSave   = "/snapshot/save"
	pathList   = "/snapshot/list"
	pathDelete = "/snapshot/delete"
	pathPrune  = "/snapshot/prune"
)

// maxAnswer bounds an answer, in bytes.
const maxAnswer = 16 << 20

// Handlers answer at the status socket, which is for root alone. What was asked
// for ends when the one who asked goes away.
func (m *Manager) Handlers() map[string]http.Handler {
	handle := func(f func(context.Context, url.Values) (any, error)) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodPost {
				http.Error(w, "POST is expected", http.StatusMethodNotAllowed)
				return
			}
			answer, err := f(r.Context(), r.URL.Query())
			if err != nil {
				http.Error(w, err.Error(), codeOf(err))
				return
			}
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(answer) // the asker is gone: nobody to tell
		})
	}
	return map[string]http.Handler{
		pathSave: handle(func(ctx context.Context, q url.Values) (any, error) { return m.Save(ctx, q.Get("name")) }),
		pathList: handle(func(ctx context.Context, _ url.Values) (any, error) { return m.List(ctx) }),
		pathDelete: handle(func(ctx context.Context, q url.Values) (any, error) {
			return m.Delete(ctx, q.Get("file"))
		}),
		pathPrune: handle(func(ctx context.Context, q url.Values) (any, error) {
			keep, err := strconv.Atoi(q.Get("keep"))
			if err != nil {
				return nil, err
			}
			return m.Prune(ctx, q.Get("name"), keep)
		}),
	}
}

func codeOf(err error) int {
	switch {
	case errors.Is(err, os.ErrNotExist):
		return http.StatusNotFound
	case errors.Is(err, ErrExternal):
		return http.StatusConflict
	}
	return http.StatusInternalServerError
}

// Client asks the server behind a status socket. It has the methods of [Manager];
// errors wrap [health.ErrNotRunning] when no daemon answers there.
type Client struct{ Socket string }

// Save is [Manager.Save].
func (c Client) Save(ctx context.Context, name string) (s Saved, err error) {
	return s, c.post(ctx, pathSave, url.Values{"name": {name}}, &s)
}

// List is [Manager.List].
func (c Client) List(ctx context.Context) (l Listing, err error) {
	return l, c.post(ctx, pathList, nil, &l)
}

// Delete is [Manager.Delete].
func (c Client) Delete(ctx context.Context, file string) (deleted []string, err error) {
	return deleted, c.post(ctx, pathDelete, url.Values{"file": {file}}, &deleted)
}

// Prune is [Manager.Prune].
func (c Client) Prune(ctx context.Context, name string, keep int) (deleted []string, err error) {
	return deleted, c.post(ctx, pathPrune, url.Values{"name": {name}, "keep": {strconv.Itoa(keep)}}, &deleted)
}

func (c Client) post(ctx context.Context, path string, q url.Values, into any) error {
	return health.Post(ctx, c.Socket, path+"?"+q.Encode(), nil, maxAnswer, func(body io.Reader) error {
		return json.NewDecoder(body).Decode(into)
	})
}
