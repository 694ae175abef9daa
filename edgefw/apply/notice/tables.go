package notice

import (
	"context"
	"os"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/edgefw/apply/nfnl"
)

// Of linux/netfilter/nf_tables.h.
const (
	group = 7 // NFNLGRP_NFTABLES

	newTable = 0
	delTable = 2
	newChain = 3
	delChain = 5
	newRule  = 6
	delRule  = 8
	newGen   = 15
	getGen   = 16

	attrTable     = 1 // of tables, chains and rules
	attrRuleChain = 2
	attrChainName = 3
	attrGenID     = 1
	attrGenName   = 3
)

// tables listens to nftables. The kernel tells of a transaction change by change
// and ends with the number of the generation that it made and the program that
// asked for it.
type tables struct {
	socket *os.File
	conn   *nfnl.Conn
	names  []string

	mu   sync.Mutex
	mine []window
}

// window is a range of generations that the caller made: all above after, up to
// upTo.
type window struct{ after, upTo uint32 }

// open is the end of a window that is not over.
const open = ^uint32(0)

func openTables(names []string) (*tables, error) {
	socket, err := nfnl.Listen(group)
	if err != nil {
		return nil, err
	}
	conn, err := nfnl.Dial()
	if err != nil {
		_ = socket.Close()
		return nil, err
	}
	return &tables{socket: socket, conn: conn, names: names}, nil
}

func (t *tables) run(ctx context.Context, tell func(Change)) error {
	defer func() { _ = t.conn.Close() }()
	var transaction []Change
	return nfnl.Follow(ctx, t.socket, func(h nfnl.Header, body []byte) {
		switch {
		case h.Subsystem != nfnl.Tables:
		case h.Command != newGen:
			if c, ok := t.change(h, body); ok && len(transaction) < most {
				transaction = append(transaction, c)
			}
		default:
			by := nfnl.Text(nfnl.Attribute(body, attrGenName))
			if !t.isOwn(nfnl.Uint32(nfnl.Attribute(body, attrGenID)), by) {
				for _, c := range transaction {
					c.By = by
					tell(c)
				}
			}
			transaction = transaction[:0]
		}
	}, func() { tell(Change{}) })
}

// change reads what changed, and whether it matters.
func (t *tables) change(h nfnl.Header, body []byte) (Change, bool) {
	c := Change{IPv6: h.Family == unix.AF_INET6, Table: nfnl.Text(nfnl.Attribute(body, attrTable))}
	switch h.Command {
	case newTable, delTable:
	case newChain, delChain:
		c.Chain = nfnl.Text(nfnl.Attribute(body, attrChainName))
	case newRule, delRule:
		c.Chain = nfnl.Text(nfnl.Attribute(body, attrRuleChain))
	default:
		return c, false
	}
	return c, (h.Family == unix.AF_INET || c.IPv6) && slices.Contains(t.names, c.Table)
}

func (t *tables) own(f func() error) error {
	before, err := t.generation()
	if err != nil {
		return f() // and it is told of, or the watcher is closed
	}
	t.mu.Lock()
	t.mine = append(t.mine, window{after: before, upTo: open})
	t.mu.Unlock()
	failed := f()
	after, err := t.generation()
	if err != nil {
		after = before // better told than missed
	}
	t.mu.Lock()
	t.mine[len(t.mine)-1].upTo = after
	t.mu.Unlock()
	return failed
}

// isOwn tells whether a generation is the caller's doing. Other programs than
// those of iptables are not, even in the same moment.
func (t *tables) isOwn(generation uint32, by string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	// Generations come in order: windows that are over will not be asked for again.
	t.mine = slices.DeleteFunc(t.mine, func(w window) bool { return w.upTo < generation })
	return len(t.mine) > 0 && t.mine[0].after < generation && isIptables(by)
}

// isIptables tells by the name of a process, of which the kernel keeps 15 bytes.
func isIptables(name string) bool {
	return strings.HasPrefix(name, "iptables") || strings.HasPrefix(name, "ip6tables") || strings.HasPrefix(name, "xtables")
}

// generation is the number of the present generation.
func (t *tables) generation() (uint32, error) {
	var id uint32
	m := nfnl.NewMessage(nfnl.Tables, getGen, 0, unix.AF_UNSPEC, 0)
	err := t.conn.Get(m, func(_ nfnl.Header, body []byte) error {
		id = nfnl.Uint32(nfnl.Attribute(body, attrGenID))
		return nil
	})
	return id, err
}
