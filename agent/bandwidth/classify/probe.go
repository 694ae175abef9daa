package classify

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/features"
)

// Abilities is what this kernel can tell of packets.
type Abilities struct {
	// Senders: the cgroup of who sent a packet. Receivers: the same of who will
	// receive it, once that socket has sent something too. Without them containers are told apart by the ports that
	// they declare.
	Senders, Receivers bool
	// Routes: over which of several uplinks a packet goes. Without it all
	// traffic of pods is thought to be the first uplink's.
	Routes bool
	// Reasons says in words why something cannot be told, and what would help.
	Reasons []string

	// layout finds the receiver's cgroup in the kernel's own structs. Without it
	// sockets remember the cgroup that they sent from.
	layout layout
}

// remember says whether sockets must.
func (a Abilities) remember() bool { return a.Receivers && !a.layout.known() }

// needed are the helpers without which nothing can be classified, and since
// when the kernel has them.
var needed = []struct {
	helper asm.BuiltinFunc
	since  string
}{
	{asm.FnMapLookupElem, "3.19"}, {asm.FnSkbPullData, "4.9"}, {asm.FnSkbLoadBytesRelative, "4.18"},
	{asm.FnSkLookupTcp, "4.20, CONFIG_INET"}, {asm.FnSkLookupUdp, "4.20, CONFIG_INET"}, {asm.FnSkRelease, "4.20, CONFIG_INET"},
	{asm.FnSkFullsock, "5.1"}, {asm.FnGetListenerSock, "5.1, CONFIG_INET"},
}

// Probe asks the kernel, by loading small programs. An error says that nothing
// can be classified here, which part of the kernel is missing, and so that only
// unlimited pods are possible.
func Probe() (Abilities, error) {
	var a Abilities
	if err := features.HaveProgramType(ebpf.SchedCLS); err != nil {
		return a, fmt.Errorf("the kernel loads no BPF classifiers (CONFIG_BPF_SYSCALL, CONFIG_NET_CLS_BPF, or a policy that forbids bpf(2)): %w", err)
	}
	if err := features.HaveMapType(ebpf.LPMTrie); err != nil {
		return a, fmt.Errorf("the kernel has no BPF maps of type LPM trie (since 4.11): %w", err)
	}
	var errs []error
	for _, n := range needed {
		if err := have(n.helper); err != nil {
			errs = append(errs, fmt.Errorf("the kernel lacks the BPF helper %s (since %s): %w", n.helper, n.since, err))
		}
	}
	if len(errs) > 0 {
		return a, errors.Join(errs...)
	}
	if why := oneGroup(); why != "" {
		a.Reasons = append(a.Reasons, why)
	} else {
		a.Senders = a.can("senders of packets are told by declared ports: the kernel lacks %s (since 4.19, CONFIG_SOCK_CGROUP_DATA)",
			asm.FnSkbCgroupId, asm.FnSkbAncestorCgroupId)
	}
	a.Receivers = a.Senders && a.can("receivers of packets are told by declared ports: the kernel lacks %s (since 5.2)", asm.FnSkStorageGet)
	if a.Receivers {
		a.lookBehind()
	}
	a.Routes = a.can("pods use the first uplink only: the kernel lacks %s (since 4.18, CONFIG_INET)", asm.FnFibLookup)
	return a, nil
}

// lookBehind takes the layout if the kernel lets programs use it.
func (a *Abilities) lookBehind() {
	l, err := readLayout()
	if err == nil {
		with := *a
		with.layout = l
		var s *Set
		if s, err = Load(with); err == nil {
			s.Close()
			a.layout = l
			return
		}
	}
	a.Reasons = append(a.Reasons, fmt.Sprintf("what a socket receives before it first sends is told by declared ports: %v", err))
}

// can says whether all helpers are there, and else why not.
func (a *Abilities) can(otherwise string, helpers ...asm.BuiltinFunc) bool {
	for _, h := range helpers {
		if have(h) != nil {
			a.Reasons = append(a.Reasons, fmt.Sprintf(otherwise, h))
			return false
		}
	}
	return true
}

func have(h asm.BuiltinFunc) error { return features.HaveProgramHelper(ebpf.SchedCLS, h) }
