// Command cni is the CNI plugins that kedge uses in one executable: it acts as
// the plugin whose name it is called by. One program instead of three saves two
// Go runtimes in the bundle. The plugins are packages that make generate writes
// from the module cache (see scripts/gensource).
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/kedge-io/kedge/scripts/bundle/cni/bridge"
	"github.com/kedge-io/kedge/scripts/bundle/cni/hostlocal"
	"github.com/kedge-io/kedge/scripts/bundle/cni/portmap"
)

func main() {
	plugins := map[string]func(){
		"bridge":     bridge.Main,
		"host-local": hostlocal.Main,
		"portmap":    portmap.Main,
	}
	name := filepath.Base(os.Args[0])
	run, ok := plugins[name]
	if !ok {
		fmt.Fprintf(os.Stderr, "cni: no plugin is called %q; call this program through a link named bridge, host-local or portmap\n", name)
		os.Exit(1)
	}
	run()
}
