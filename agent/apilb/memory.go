package apilb

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"

	"github.com/kedge-io/kedge/internal/fsx"
)

// remembered is what the file says: where the cluster has answered.
type remembered struct {
	Servers []netip.AddrPort `json:"servers"`
}

// maxMemory bounds the file, in bytes.
const maxMemory = 64 << 10

// recall makes candidates of what an earlier run has proven. They need a new
// proof, because somebody else may have got the address.
func (p *pool) recall() {
	if p.cfg.File == "" {
		return
	}
	addrs, err := readMemory(p.cfg.File)
	if err != nil {
		p.log.Warn("addresses of servers are forgotten", "error", err)
		return
	}
	p.learn(addrs)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.list {
		c.kept = !c.given
	}
}

func readMemory(file string) ([]netip.AddrPort, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the learned servers: %w", err)
	}
	return parseMemory(text)
}

func parseMemory(text []byte) ([]netip.AddrPort, error) {
	if len(text) > maxMemory {
		return nil, fmt.Errorf("learned servers: %d bytes are more than %d", len(text), maxMemory)
	}
	var r remembered
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("learned servers: %w", err)
	}
	return r.Servers[:min(len(r.Servers), maxLearned)], nil
}

// save writes what is proven now. Nothing is written while it stays the same.
func (p *pool) save() {
	if p.cfg.File == "" {
		return
	}
	r := remembered{Servers: []netip.AddrPort{}}
	for _, addr := range p.proven() {
		if a, err := netip.ParseAddrPort(addr); err == nil {
			r.Servers = append(r.Servers, a)
		}
	}
	text, err := json.Marshal(r)
	if err == nil {
		_, err = fsx.WriteFileIfChanged(p.cfg.File, append(text, '\n'), 0o600)
	}
	if err != nil {
		p.log.Warn("addresses of servers are not kept", "error", err)
	}
}
