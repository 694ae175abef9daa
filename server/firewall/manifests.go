package firewall

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/kedge-io/kedge/api/edge/v1alpha1"
	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/plan"
	"github.com/kedge-io/kedge/server/firewall/sources"
)

// proposal is what somebody would like to apply.
type proposal struct {
	firewalls []*v1alpha1.EdgeFirewall
	sets      []*v1alpha1.AddressSet
	deleted   []string
	notes     []string
}

// readProposal reads manifests, one after the other.
func readProposal(data []byte) (proposal, error) {
	var p proposal
	documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
	for n := 1; ; n++ {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return p, nil
		}
		if err != nil {
			return p, fmt.Errorf("document %d: %w", n, err)
		}
		if len(bytes.TrimSpace(document)) == 0 {
			continue
		}
		if err := p.add(document); err != nil {
			return p, fmt.Errorf("document %d: %w", n, err)
		}
	}
}

// add reads one document.
func (p *proposal) add(document []byte) error {
	var kind metav1.TypeMeta
	if err := yaml.Unmarshal(document, &kind); err != nil {
		return err
	}
	if kind.Kind == "" && kind.APIVersion == "" {
		return nil // only comments
	}
	if kind.APIVersion != v1alpha1.GroupVersion().String() {
		return p.foreign(kind)
	}
	switch kind.Kind {
	case v1alpha1.KindEdgeFirewall:
		o := &v1alpha1.EdgeFirewall{}
		p.firewalls = append(p.firewalls, o)
		return yaml.UnmarshalStrict(document, o)
	case v1alpha1.KindAddressSet:
		o := &v1alpha1.AddressSet{}
		p.sets = append(p.sets, o)
		return yaml.UnmarshalStrict(document, o)
	}
	return p.foreign(kind)
}

func (p *proposal) foreign(kind metav1.TypeMeta) error {
	return fmt.Errorf("%s %s is not planned: give manifests of %s and %s (%s)", kind.APIVersion, kind.Kind, v1alpha1.KindEdgeFirewall, v1alpha1.KindAddressSet, v1alpha1.GroupVersion())
}

// check has the API look at all objects as if they were applied; they come back
// with their defaults.
func (p *proposal) check(ctx context.Context, a api) (problems []string) {
	for i, o := range p.firewalls {
		if a.tryFirewall == nil {
			break
		}
		checked, err := a.tryFirewall(ctx, o)
		if err != nil {
			problems = append(problems, fmt.Sprintf("EdgeFirewall %s: %v", o.Name, err))
			continue
		}
		p.firewalls[i] = checked
	}
	for i, o := range p.sets {
		if a.trySet == nil {
			break
		}
		checked, err := a.trySet(ctx, o)
		if err != nil {
			problems = append(problems, fmt.Sprintf("AddressSet %s: %v", o.Name, err))
			continue
		}
		p.sets[i] = checked
	}
	return problems
}

// change makes the input what it would be.
func (p *proposal) change(in *plan.Input) (problems []string) {
	kept := map[string]model.Firewall{}
	for _, m := range in.Firewalls {
		kept[m.Name] = m
	}
	for _, name := range p.deleted {
		if _, ok := kept[name]; !ok {
			problems = append(problems, fmt.Sprintf("EdgeFirewall %s does not exist or cannot be followed: it cannot be left out", name))
		}
		delete(kept, name)
	}
	for _, o := range p.firewalls {
		m, err := sources.Firewall(o)
		if err != nil {
			problems = append(problems, fmt.Sprintf("EdgeFirewall %s: %v", o.Name, err))
			continue
		}
		if m.Created.IsZero() { // a new one is the youngest
			m.Created = newest(kept).Add(1)
		}
		kept[m.Name] = m
	}
	in.Firewalls = in.Firewalls[:0:0]
	for _, m := range kept {
		in.Firewalls = append(in.Firewalls, m)
	}
	sets := maps.Clone(in.Inventory.AddressSets)
	if sets == nil {
		sets = map[string]model.AddressSet{}
	}
	for _, o := range p.sets {
		if problem := p.set(sets, o); problem != "" {
			problems = append(problems, problem)
		}
	}
	in.Inventory.AddressSets = sets
	return problems
}

// set puts one address set in. Its other sources are not read for a plan.
func (p *proposal) set(sets map[string]model.AddressSet, o *v1alpha1.AddressSet) (problem string) {
	prefixes, err := sources.Addresses(o.Spec.Addresses)
	if err != nil {
		return fmt.Sprintf("AddressSet %s: %v", o.Name, err)
	}
	if o.Spec.ConfigMapRef != nil || o.Spec.List != nil {
		before, exists := sets[o.Name]
		if exists {
			p.notes = append(p.notes, fmt.Sprintf("AddressSet %s is planned as it is now: its other sources are not read for a plan", o.Name))
			prefixes = before.Prefixes
		} else {
			p.notes = append(p.notes, fmt.Sprintf("AddressSet %s is planned with spec.addresses alone: its other sources are not read for a plan", o.Name))
		}
	}
	sets[o.Name] = model.AddressSet{Name: o.Name, Prefixes: prefixes}
	return ""
}
