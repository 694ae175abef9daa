package distfiles

import (
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kedge-io/kedge/internal/wire"
)

// shop is a server with one program of its own.
type shop struct {
	files *Files
	mux   *http.ServeMux
	dir   string
}

func newShop(t *testing.T) shop {
	t.Helper()
	dir := t.TempDir()
	put(t, filepath.Join(dir, "kedge"), "own program")
	s := shop{dir: filepath.Join(dir, "dist"), mux: http.NewServeMux()}
	s.files = New(Config{
		Dir: s.dir, Own: filepath.Join(dir, "kedge"), Arch: "amd64", Log: slog.New(slog.DiscardHandler),
		Pin: func() (wire.Pin, error) { return wire.Pin{0xab}, nil },
	})
	for pattern, h := range s.files.Handlers() {
		s.mux.Handle(pattern, h)
	}
	return s
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

func (s shop) get(path string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "https://server:6443"+path, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.mux.ServeHTTP(w, r)
	return w
}

func sumOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func TestScriptKnowsWhereItCameFrom(t *testing.T) {
	w := newShop(t).get("/install.sh")
	for _, line := range []string{"SERVED_URL='https://server:6443'\n", "SERVED_PIN='ab00"} {
		if !strings.Contains(w.Body.String(), "\n"+line) {
			t.Errorf("the script has no line %q", line)
		}
	}
}

func TestNothingStrangeGetsIntoTheScript(t *testing.T) {
	s := newShop(t)
	for _, host := range []string{"server", "server:6443", "192.0.2.1:6443", "[2001:db8::1]:6443", "edge.example.org"} {
		if w := s.ask(host); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "'https://"+host+"'") {
			t.Errorf("%s: %d", host, w.Code)
		}
	}
	for _, host := range []string{"", "a'b", "x;reboot", "$(reboot)", "a b", "a/b", "a\nb", "[::1", "server:port", "-a", "a:1:2"} {
		if w := s.ask(host); w.Code != http.StatusBadRequest {
			t.Errorf("%q: %d", host, w.Code)
		}
	}
}

func (s shop) ask(host string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "/install.sh", nil)
	r.Host = host
	w := httptest.NewRecorder()
	s.mux.ServeHTTP(w, r)
	return w
}

func TestServerGivesItselfAndWhatIsInTheFolder(t *testing.T) {
	s := newShop(t)
	if got, want := s.get("/v1-kedge/dist/sha256sums.txt").Body.String(), sumOf("own program")+"  kedge-linux-amd64\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	w := s.get("/v1-kedge/dist/kedge-linux-arm64")
	if w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), s.dir) {
		t.Errorf("for another processor: %d %q, want 404 that names the folder", w.Code, w.Body)
	}
	put(t, filepath.Join(s.dir, "kedge-linux-arm64"), "for arm64")
	put(t, filepath.Join(s.dir, "kedge-linux-amd64"), "from the folder")
	for arch, text := range map[string]string{"amd64": "from the folder", "arm64": "for arm64"} {
		if got := s.get("/v1-kedge/dist/kedge-linux-" + arch).Body.String(); got != text {
			t.Errorf("%s: %q", arch, got)
		}
		if !strings.Contains(s.get("/v1-kedge/dist/sha256sums.txt").Body.String(), sumOf(text)+"  kedge-linux-"+arch+"\n") {
			t.Errorf("%s: the list has another sum", arch)
		}
	}
}

func TestSumsFollowAnUpgrade(t *testing.T) {
	s := newShop(t)
	s.get("/v1-kedge/dist/sha256sums.txt")
	put(t, s.files.cfg.Own+".new", "newer program")
	if err := os.Rename(s.files.cfg.Own+".new", s.files.cfg.Own); err != nil {
		t.Fatal(err)
	}
	if got := s.get("/v1-kedge/dist/sha256sums.txt").Body.String(); !strings.HasPrefix(got, sumOf("newer program")) {
		t.Errorf("got %s", got)
	}
}

func TestDownloadIsResumedOnlyWithTheSameBytes(t *testing.T) {
	s := newShop(t)
	tag := s.get("/v1-kedge/dist/kedge-linux-amd64").Header().Get("ETag")
	w := s.get("/v1-kedge/dist/kedge-linux-amd64", "Range", "bytes=4-", "If-Range", tag)
	if w.Code != http.StatusPartialContent || w.Body.String() != "program" {
		t.Errorf("got %d %q", w.Code, w.Body)
	}
	w = s.get("/v1-kedge/dist/kedge-linux-amd64", "Range", "bytes=4-", "If-Range", `"other"`)
	if w.Code != http.StatusOK || w.Body.String() != "own program" {
		t.Errorf("of another file: %d %q", w.Code, w.Body)
	}
}

func TestOnlyProgramsAreGivenOut(t *testing.T) {
	s := newShop(t)
	put(t, filepath.Join(s.dir, "secret"), "secret")
	for _, name := range []string{"secret", "kedge-linux-", "kedge-linux-..%2fsecret", "kedge-linux-%2e%2e", "kedge-linux-AMD64", "", "kedge-linux-amd64/x"} {
		if w := s.get("/v1-kedge/dist/" + name); w.Code != http.StatusNotFound || strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%q: %d %q", name, w.Code, w.Body)
		}
	}
	if err := os.Mkdir(filepath.Join(s.dir, "kedge-linux-arm64"), 0o755); err != nil {
		t.Fatal(err)
	}
	if w := s.get("/v1-kedge/dist/kedge-linux-arm64"); w.Code != http.StatusInternalServerError {
		t.Errorf("a folder instead of a program: %d", w.Code)
	}
}
