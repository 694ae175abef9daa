package distfiles

import (
	"net/http"
	"time"
)

// patience is how long one piece of a download may take to leave, 32 kB at a
// time: far below what the thinnest line does, so only a reader that is gone or
// asleep is given up.
const patience = 2 * time.Minute

// patient ends a download that does not move, and none that does.
type patient struct {
	http.ResponseWriter
	control *http.ResponseController
}

func newPatient(w http.ResponseWriter) *patient {
	return &patient{w, http.NewResponseController(w)}
}

func (p *patient) Write(b []byte) (int, error) {
	// Not every writer has deadlines; those that have none are in tests.
	_ = p.control.SetWriteDeadline(time.Now().Add(patience))
	return p.ResponseWriter.Write(b)
}

// done lifts the limit, as more may be asked on the same connection.
func (p *patient) done() { _ = p.control.SetWriteDeadline(time.Time{}) }
