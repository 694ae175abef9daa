package distfiles

import (
	"net/http"
	"time"
)

// A download has to bring so many bytes in so much time, again and again; one that
// does not is ended, and whoever installs goes on where it ended. That is 4.4 kB/s,
// a little more than half of what a line of 64 kbit/s does. It is counted over
// minutes, because a line with deep buffers takes nothing for a while and then much.
const (
	patience = 2 * time.Minute
	portion  = 512 << 10
)

// patient ends a download that hardly moves, and none that does. What it holds is
// one of few places.
type patient struct {
	http.ResponseWriter
	control *http.ResponseController
	now     func() time.Time
	left    int // bytes of this portion
}

func newPatient(w http.ResponseWriter) *patient {
	return &patient{ResponseWriter: w, control: http.NewResponseController(w), now: time.Now}
}

func (p *patient) Write(b []byte) (int, error) {
	if p.left <= 0 {
		p.left = portion
		// Not every writer has deadlines; those that have none are in tests.
		_ = p.control.SetWriteDeadline(p.now().Add(patience))
	}
	n, err := p.ResponseWriter.Write(b)
	p.left -= n
	return n, err
}

// done lifts the limit, as more may be asked on the same connection.
func (p *patient) done() { _ = p.control.SetWriteDeadline(time.Time{}) }
