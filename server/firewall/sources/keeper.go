package sources

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/kedge-io/kedge/api/edge/v1alpha1"
	"github.com/kedge-io/kedge/edgefw/model"
)

// order is that in which sources are told about, and in which they count if
// together they are too many.
func order() []v1alpha1.AddressSourceName {
	return []v1alpha1.AddressSourceName{v1alpha1.SourceAddresses, v1alpha1.SourceConfigMap, v1alpha1.SourceList}
}

// reading is what is known of one source.
type reading struct {
	content
	// answered tells that content is something, be it from a kept copy, or that the
	// source has failed.
	answered bool
	problem  string
	// left tells that it is left out, as there would be too many.
	left bool
}

// answer is one look at a source. With a problem, or unchanged, the content is
// that of before.
type answer struct {
	source    v1alpha1.AddressSourceName
	content   content
	unchanged bool
	problem   error
}

// keeper looks after one generation of one set.
type keeper struct {
	s       *Sources
	set     *v1alpha1.AddressSet
	stop    context.CancelFunc
	ended   chan struct{}
	known   chan struct{} // closed once all sources were read, or failed
	answers chan answer

	// Of the keeper's goroutine until ended is closed:
	read   map[v1alpha1.AddressSourceName]*reading
	status v1alpha1.AddressSetStatus // as last written
	wrote  time.Time
	again  *time.Timer // when to write what was not written yet
}

// keep starts to look after a set, with what an earlier keeper has read.
func (s *Sources) keep(ctx context.Context, set *v1alpha1.AddressSet, before map[v1alpha1.AddressSourceName]*reading) *keeper {
	k := &keeper{
		s: s, set: set, ended: make(chan struct{}), known: make(chan struct{}), answers: make(chan answer),
		read: map[v1alpha1.AddressSourceName]*reading{}, status: set.Status,
	}
	ctx, k.stop = context.WithCancel(ctx)
	k.recall(before)
	go k.run(ctx)
	return k
}

// recall takes what is known of the sources from before, or from the kept copies.
func (k *keeper) recall(before map[v1alpha1.AddressSourceName]*reading) {
	wanted := map[v1alpha1.AddressSourceName]bool{
		v1alpha1.SourceAddresses: len(k.set.Spec.Addresses) > 0,
		v1alpha1.SourceConfigMap: k.set.Spec.ConfigMapRef != nil,
		v1alpha1.SourceList:      k.set.Spec.List != nil,
	}
	for _, source := range order() {
		switch was := before[source]; {
		case !wanted[source] && source != v1alpha1.SourceAddresses:
			k.s.store.remove(k.set.Name, source)
		case !wanted[source]:
		case was != nil && was.answered:
			k.read[source] = was
		default:
			k.read[source] = &reading{}
			if kept := k.s.store.load(k.set.Name, source); kept != nil {
				k.read[source] = &reading{content: *kept, answered: true}
			}
		}
	}
}

// run reads the sources until ctx ends.
func (k *keeper) run(ctx context.Context) {
	defer close(k.ended)
	readers := k.readers()
	done := make(chan struct{})
	for _, read := range readers {
		go func() { read(ctx); done <- struct{}{} }()
	}
	defer func() {
		k.stop()
		for range readers {
			<-done
		}
	}()
	k.again = time.NewTimer(0)
	defer k.again.Stop()
	k.readAddresses()
	k.tell(ctx)
	for {
		select {
		case <-ctx.Done():
			return
		case a := <-k.answers:
			k.take(a)
			k.tell(ctx)
		case <-k.again.C:
			k.write(ctx)
		}
	}
}

// readers are the loops that answer about sources other than the object itself.
func (k *keeper) readers() []func(context.Context) {
	var all []func(context.Context)
	if ref := k.set.Spec.ConfigMapRef; ref != nil {
		all = append(all, func(ctx context.Context) { k.watchConfigMap(ctx, ref) })
	}
	if list := k.set.Spec.List; list != nil {
		last := k.read[v1alpha1.SourceList].content
		all = append(all, func(ctx context.Context) { k.fetchList(ctx, list, last) })
	}
	return all
}

// say hands an answer to the keeper.
func (k *keeper) say(ctx context.Context, a answer) {
	select {
	case k.answers <- a:
	case <-ctx.Done():
	}
}

// readAddresses reads those in the object. The API server has checked them.
func (k *keeper) readAddresses() {
	if len(k.set.Spec.Addresses) == 0 {
		return
	}
	a := answer{source: v1alpha1.SourceAddresses, content: content{From: "spec"}}
	a.content.Prefixes, a.problem = Addresses(k.set.Spec.Addresses)
	k.take(a)
}

// take keeps an answer.
func (k *keeper) take(a answer) {
	r := k.read[a.source]
	first := !r.answered
	r.answered = true
	was := r.problem
	r.problem = ""
	if a.problem != nil {
		r.problem = a.problem.Error()
		if was == "" {
			k.s.log.Warn("a source of an address set cannot be read, what it had before counts on", "set", k.set.Name, "source", a.source, "count", len(r.Prefixes), "error", a.problem)
		}
		return
	}
	if was != "" {
		k.s.log.Info("a source of an address set can be read again", "set", k.set.Name, "source", a.source)
	}
	if a.unchanged {
		return
	}
	if !first && slices.Equal(r.Prefixes, a.content.Prefixes) {
		a.content.Prefixes, a.content.Changed = r.Prefixes, r.Changed // the same slice is the same content
	} else {
		a.content.Changed = time.Now()
		k.s.log.Info("a source of an address set was read", "set", k.set.Name, "source", a.source, "count", len(a.content.Prefixes))
	}
	r.content = a.content
	if a.source != v1alpha1.SourceAddresses {
		k.s.store.save(k.set.Name, a.source, r.content)
	}
}

// tell publishes and reports once all sources have answered.
func (k *keeper) tell(ctx context.Context) {
	for _, r := range k.read {
		if !r.answered {
			return
		}
	}
	set := model.AddressSet{Name: k.set.Name, Prefixes: k.union()}
	before, published := k.s.Sets()[k.set.Name]
	if !published || !slices.Equal(before.Prefixes, set.Prefixes) {
		k.s.publish(set)
	}
	select {
	case <-k.known:
	default:
		close(k.known)
	}
	k.write(ctx)
}

// union joins what the sources have. What would make too many is left out as a
// whole.
func (k *keeper) union() []netip.Prefix {
	var all []netip.Prefix
	for _, source := range order() {
		r := k.read[source]
		switch {
		case r == nil:
			continue
		case len(all) == 0:
			all, r.left = r.Prefixes, false
			continue
		}
		joined := sorted(slices.Concat(all, r.Prefixes))
		if r.left = len(joined) > v1alpha1.MaxAddresses; !r.left {
			all = joined
		}
	}
	return all
}
