package plan

import "github.com/kedge-io/kedge/edgefw/model"

// SafeName is the firewall that [Safe] names as its origin.
const SafeName = "safe"

// Safe is what a node enforces that lost its rules and hears no server: what is
// implied may come in, everything may go out.
func Safe() *model.Ruleset {
	return &model.Ruleset{Host: model.HostRules{
		Ingress: model.Chain{Default: model.Deny, DefaultFrom: SafeName},
	}}
}
