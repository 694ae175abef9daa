package distfiles

import (
	"bytes"
	"net/http"
	"regexp"

	"github.com/kedge-io/kedge/scripts"
)

// hostPort is what may stand in the script for this server: a name or an address
// and a port. Nothing else of the request gets into a script that root runs.
var hostPort = regexp.MustCompile(`^([A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?$`)

// What the script has where a server puts its own.
var (
	noURL = []byte("SERVED_URL=''\n")
	noPin = []byte("SERVED_PIN=''\n")
)

// install answers the script, which knows by then where it came from.
func (f *Files) install(w http.ResponseWriter, r *http.Request) {
	if !hostPort.MatchString(r.Host) {
		http.Error(w, "ask for the script by an address or a name of this server", http.StatusBadRequest)
		return
	}
	pin, err := f.cfg.Pin()
	if err != nil {
		f.broken(w, r, err)
		return
	}
	script := bytes.Replace(scripts.Install, noURL, []byte("SERVED_URL='https://"+r.Host+"'\n"), 1)
	script = bytes.Replace(script, noPin, []byte("SERVED_PIN='"+pin.String()+"'\n"), 1)
	w.Header().Set("Content-Type", "text/x-shellscript; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(script)
}
