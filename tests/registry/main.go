// Command registry is the container registry that tests of registries.yaml and
// of image bundles use: the reference implementation, with its images in
// memory or in a folder. It is a module of its own, so that nothing of it is in
// kedge.
//
//	registry serve CONFIG.yml
package main

import (
	"github.com/distribution/distribution/v3/registry"
	_ "github.com/distribution/distribution/v3/registry/auth/htpasswd"
	_ "github.com/distribution/distribution/v3/registry/auth/token"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
)

func main() {
	_ = registry.RootCmd.Execute()
}
