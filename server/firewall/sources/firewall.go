package sources

import (
	"errors"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/kedge-io/kedge/api/edge/v1alpha1"
	"github.com/kedge-io/kedge/edgefw/model"
)

// Firewall translates an object. The error names every field that cannot be
// followed with its value and what would be right; the API server refuses most of
// that before, but not in objects from before a rule, or of another version.
func Firewall(o *v1alpha1.EdgeFirewall) (model.Firewall, error) {
	f := model.Firewall{
		Name: o.Name, Generation: o.Generation, Created: o.CreationTimestamp.Time,
		Priority: v1alpha1.DefaultFirewallPriority, OnChange: model.Keep,
	}
	p := &problems{}
	if o.Spec.Priority != nil {
		f.Priority = p.between("spec.priority", *o.Spec.Priority, 0, 1000)
	}
	switch o.Spec.OnChange {
	case "", v1alpha1.FirewallKeep:
	case v1alpha1.FirewallCut:
		f.OnChange = model.Cut
	default:
		p.add("spec.onChange", o.Spec.OnChange, "use keep or cut")
	}
	f.Nodes = p.selector("spec.nodeSelector", o.Spec.NodeSelector)
	f.Ingress = p.section("spec.ingress", o.Spec.Ingress)
	f.Egress = p.section("spec.egress", o.Spec.Egress)
	if err := errors.Join(p.errs...); err != nil {
		return model.Firewall{}, err
	}
	return f, nil
}

// AddressSets returns the names of the sets that a firewall's rules name, each as
// often as it is named.
func AddressSets(f model.Firewall) []string {
	var names []string
	for _, s := range []model.Section{f.Ingress, f.Egress} {
		for _, r := range s.Rules {
			for _, peer := range r.Peers {
				if peer.AddressSet != "" {
					names = append(names, peer.AddressSet)
				}
			}
		}
	}
	return names
}

// problems collects what is wrong with one object.
type problems struct{ errs []error }

func (p *problems) add(field string, value any, remedy string) {
	p.errs = append(p.errs, fmt.Errorf("%s: %q: %s", field, fmt.Sprint(value), remedy))
}

func (p *problems) between(field string, value, low, high int32) int32 {
	if value < low || value > high {
		p.add(field, value, fmt.Sprintf("use %d to %d", low, high))
	}
	return value
}

// selector of nothing chooses all.
func (p *problems) selector(field string, s *v1alpha1.NodeSelector) labels.Selector {
	if s == nil {
		return labels.Everything()
	}
	selector, err := metav1.LabelSelectorAsSelector(s.LabelSelector())
	if err != nil {
		p.errs = append(p.errs, fmt.Errorf("%s: %w", field, err))
		return labels.Nothing()
	}
	return selector
}

func (p *problems) section(field string, s *v1alpha1.FirewallSection) model.Section {
	if s == nil {
		return model.Section{}
	}
	var out model.Section
	switch action := model.Action(s.Default); action {
	case model.Pass, model.Allow, model.Deny, model.Reject:
		out.Default = action
	default:
		p.add(field+".default", s.Default, "use allow, deny or reject, or leave it out")
	}
	names := map[string]bool{}
	for i := range s.Rules {
		at := fmt.Sprintf("%s.rules[%d]", field, i)
		r := p.rule(at, &s.Rules[i])
		if r.Name == "" {
			r.Name = fmt.Sprintf("rule-%d", i+1)
		}
		if names[r.Name] {
			p.add(at+".name", r.Name, "another rule of this direction has the same name: use another one")
		}
		names[r.Name] = true
		out.Rules = append(out.Rules, r)
	}
	return out
}
