//go:build namespace

package packets

import (
	"os"
	"testing"

	"github.com/kedge-io/kedge/tests/nethost"
)

// TestMain runs the tests in a network namespace, which is the node: what the
// firewall starts is in it, too.
func TestMain(m *testing.M) { os.Exit(nethost.Main(m)) }
