package main

import (
	"bytes"
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kedge-io/kedge/internal/edgeclient"
	"github.com/kedge-io/kedge/tests/lab/cluster"
)

// stepTime bounds one change.
const stepTime = 30 * time.Second

// mark is in an object and says which step it is of.
func mark(number int) string { return fmt.Sprintf("step-%d", number) }

// change writes an object, the first half of the steps of a part by kubectl and
// the others by the request that kubectl makes. It returns when that began.
func (b *bench) change(step int, kind, name, object string) (began time.Time, kubectl bool) {
	kubectl = step < b.o.steps/2
	began = time.Now()
	var err error
	if kubectl {
		_, err = b.Server.KedgeInput(b.t.Context(), []byte(object), "kubectl", "apply", "-f", "-")
	} else {
		err = b.patch(kind, name, object)
	}
	cluster.Must(b.t, err)
	return began, kubectl
}

// patch is a server-side apply.
func (b *bench) patch(kind, name, object string) error {
	client, err := edgeclient.New(b.Config)
	if err != nil {
		return err
	}
	force := true
	options := metav1.PatchOptions{FieldManager: "bench", Force: &force}
	if kind == "AddressSet" {
		_, err = client.AddressSets().Patch(b.t.Context(), name, types.ApplyPatchType, []byte(object), options)
		return err
	}
	_, err = client.EdgeFirewalls().Patch(b.t.Context(), name, types.ApplyPatchType, []byte(object), options)
	return err
}

// firewall is one with a rule for the probes' port.
func firewall(part, rule, action, peers string) string {
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"apiVersion":"edge.kedge.io/v1alpha1","kind":"EdgeFirewall","metadata":{"name":%q},`, part)
	fmt.Fprintf(&b, `"spec":{"nodeSelector":{"matchLabels":{%q:%q}},"ingress":{"rules":[`, label, part)
	fmt.Fprintf(&b, `{"name":%q,"action":%q,"protocol":"udp","ports":[%d]%s}]}}}`, rule, action, port, peers)
	return b.String()
}

// addressSet is one with a hundred entries beside those given.
func addressSet(name, step, more string) string {
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"apiVersion":"edge.kedge.io/v1alpha1","kind":"AddressSet","metadata":{"name":%q,"annotations":{"bench":%q}},`, name, step)
	b.WriteString(`"spec":{"addresses":[`)
	for k := range 100 {
		fmt.Fprintf(&b, `"198.18.%d.0/24",`, k)
	}
	fmt.Fprintf(&b, `%q]}}`, more)
	return b.String()
}

// await looks until all are done.
func (b *bench) await(what string, done func() (missing int)) {
	ctx, cancel := context.WithTimeout(b.t.Context(), stepTime)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		missing := done()
		if missing == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			b.t.Fatalf("%s: %d are missing after %v", what, missing, stepTime)
		}
	}
}

// real measures changes of a rule by packets.
func (b *bench) real() {
	b.packets("real", "EdgeFirewall", "real", func(step int, allowed bool) string {
		return firewall("real", mark(b.number), verb(allowed), "")
	})
	_, err := b.Server.Kedge(b.t.Context(), "kubectl", "delete", "edgefirewall", "real")
	cluster.Must(b.t, err)
}

// set measures changes of an address set by packets: the neighbours are in it, or
// are not.
func (b *bench) set() {
	b.number++
	object := firewall("real", mark(b.number), "deny", `,"peers":[{"addressSet":"bench"}]`)
	_, err := b.Server.KedgeInput(b.t.Context(), []byte(object), "kubectl", "apply", "-f", "-")
	cluster.Must(b.t, err)
	b.packets("set", "AddressSet", "bench", func(step int, allowed bool) string {
		more := "192.168.0.0/16"
		if allowed {
			more = "198.51.99.0/24"
		}
		return addressSet("bench", mark(b.number), more)
	})
	_, err = b.Server.Kedge(b.t.Context(), "kubectl", "delete", "edgefirewall/real", "addressset/bench")
	cluster.Must(b.t, err)
}

func verb(allowed bool) string {
	if allowed {
		return "allow"
	}
	return "deny"
}

// packets changes an object back and forth and asks the probes.
func (b *bench) packets(part, kind, name string, object func(step int, allowed bool) string) {
	b.startProbes()
	for step := range b.o.steps {
		b.rest()
		allowed := step%2 == 1
		b.number++
		for _, p := range b.probes {
			p.begin()
		}
		began, kubectl := b.change(step, kind, name, object(step, allowed))
		b.await(part, func() (missing int) {
			for _, p := range b.probes {
				if _, ok := p.verdict(allowed); !ok {
					missing++
				}
			}
			return missing
		})
		var when []time.Time
		for _, p := range b.probes {
			at, _ := p.verdict(allowed)
			when = append(when, at)
		}
		b.note(part, kubectl, began, when)
	}
}

// startProbes joins the nodes of each site in both directions.
func (b *bench) startProbes() {
	if len(b.probes) > 0 {
		return
	}
	for k := range sites {
		one, other := b.Lab.Host(fmt.Sprintf("edge%da", k+1)), b.Lab.Host(fmt.Sprintf("edge%db", k+1))
		for _, pair := range [][2]int{{0, 1}, {1, 0}} {
			hosts := [2]int(pair)
			from, to := one, other
			if hosts[0] == 1 {
				from, to = other, one
			}
			p, err := startProbe(b.t.Context(), from, to)
			cluster.Must(b.t, err)
			b.probes = append(b.probes, p)
		}
	}
	for _, p := range b.probes {
		p.begin()
	}
	b.await("datagrams between neighbours", func() (missing int) {
		for _, p := range b.probes {
			if _, ok := p.verdict(true); !ok {
				missing++
			}
		}
		return missing
	})
}

// note keeps what a step took: until the API had it, until each enforced it, and
// the difference.
func (b *bench) note(part string, kubectl bool, began time.Time, enforced []time.Time) {
	b.await("the API's own watch", func() int { return 1 - len(b.seen.of(mark(b.number))) })
	stored := b.seen.of(mark(b.number))[0]
	b.r.note(part+"/api", kubectl, stored.Sub(began))
	for _, at := range enforced {
		b.r.note(part, kubectl, at.Sub(began))
		b.r.note(part+"/after", kubectl, at.Sub(stored))
	}
}
