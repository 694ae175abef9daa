//go:build namespace

package apply_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/kedge-io/kedge/edgefw/apply"
	"github.com/kedge-io/kedge/tests/nethost"
)

// TestMain runs the tests in a network namespace that nobody else has: what is
// tested works in the namespace of the whole process.
func TestMain(m *testing.M) {
	if v := os.Getenv(victim); v != "" {
		applyUntilKilled(apply.Variant(v))
	}
	if os.Getenv(idle) != "" {
		if err := enforceNothing(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(nethost.Main(m))
}
