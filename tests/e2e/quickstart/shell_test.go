package quickstart

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/lab"
	"github.com/kedge-io/kedge/tests/lab/cluster"
)

// folder is on the host's own /run.
const folder = "/run/quickstart"

// shell is one shell of a host that takes block after block, as a person's terminal does: a
// variable or a background job of one block is there in the next.
type shell struct {
	host *lab.Host
	proc *lab.Proc
	in   *os.File
	n    int
}

// open starts the shell in the directory dir. Each env is KEY=VALUE.
func open(t *testing.T, h *lab.Host, dir string, env ...string) *shell {
	t.Helper()
	_, errOut, err := h.Run(t.Context(), "sh", "-c", "mkdir -p "+folder+" && mkfifo "+folder+"/in")
	if err != nil {
		t.Fatalf("%v: %s", err, errOut)
	}
	proc, err := h.StartEnv("quickstart", env, "sh", "-c", "cd "+dir+" && exec sh -ex <"+folder+"/in")
	cluster.Must(t, err)
	// Read and write, so that opening does not wait for the other end.
	in, err := os.OpenFile(h.Path(folder+"/in"), os.O_RDWR, 0)
	cluster.Must(t, err)
	t.Cleanup(func() { _ = in.Close() })
	return &shell{host: h, proc: proc, in: in}
}

// run gives the shell one block and waits for its end. The commands and their output are in the
// log quickstart.log of the host.
func (s *shell) run(t *testing.T, b block) {
	t.Helper()
	s.n++
	script := fmt.Sprintf("%s/%d", folder, s.n)
	cluster.Must(t, s.host.WriteFile(script, []byte(b.script), 0o600))
	_, err := fmt.Fprintf(s.in, ". %[1]s </dev/null\n: >%[1]s.done\n", script)
	cluster.Must(t, err)
	testx.Eventually(t, cluster.Patience, fmt.Sprintf("the block at line %d ends", b.line), func(context.Context) error {
		if _, err := os.Stat(s.host.Path(script + ".done")); err == nil {
			return nil
		}
		select {
		case <-s.proc.Done():
			t.Fatalf("the block at line %d failed, see %s", b.line, s.proc.Log())
		default:
		}
		return errors.New("it runs")
	})
}
