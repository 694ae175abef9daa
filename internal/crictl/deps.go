//go:build kedge_dependencies

package crictl

// What the generated sources import directly and nothing else in this module
// does; listed for go mod tidy, which does not see generated files on a fresh
// clone. No build sets the tag.
import (
	_ "github.com/docker/docker/api/types/time"
	_ "github.com/invopop/jsonschema"
	_ "github.com/urfave/cli/v2"
	_ "sigs.k8s.io/cri-tools/pkg/common"
	_ "sigs.k8s.io/cri-tools/pkg/tracing"
	_ "sigs.k8s.io/cri-tools/pkg/version"
)
