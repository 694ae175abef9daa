package agent

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"

	"github.com/kedge-io/kedge/agent/apilb"
	"github.com/kedge-io/kedge/agent/kube"
)

// CheckPorts tells whether another program has a port on loopback that the
// node's parts cannot do without. Some of them end the whole process over it,
// when half of the node is up.
func CheckPorts() error {
	var errs []error
	for _, need := range []struct{ address, part string }{
		{apilb.Address, "the node's own way to the API"},
		{net.JoinHostPort("127.0.0.1", strconv.Itoa(kube.KubeletPort)), "kubelet"},
	} {
		errs = append(errs, checkPort(need.address, need.part))
	}
	return errors.Join(errs...)
}

func checkPort(address, part string) error {
	l, err := net.Listen("tcp", address)
	if err == nil {
		return l.Close()
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		_, port, _ := net.SplitHostPort(address)
		return fmt.Errorf("%s, which %s needs, is taken by another program (see it with: ss -ltnp 'sport = :%s'): stop that one; a host can be a node of one cluster only", address, part, port)
	}
	return fmt.Errorf("listen on %s for %s: %w", address, part, err)
}
