package agent

import (
	"net"
	"strings"
	"testing"
)

func TestCheckPortNamesThePartAndThePort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	err = checkPort(address, "kubelet")
	if err == nil || !strings.Contains(err.Error(), address) || !strings.Contains(err.Error(), "kubelet") {
		t.Errorf("a taken port: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := checkPort(address, "kubelet"); err != nil {
		t.Errorf("a free port: %v", err)
	}
}
