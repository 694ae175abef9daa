package firewall

import (
	"context"
	"errors"
	"net/url"
)

// errCannotAsk is why facts are assumed where nobody said how to ask.
var errCannotAsk = errors.New("nodes cannot be asked")

// ask asks a node through its link; the server's own directly.
func (f *Firewall) ask(ctx context.Context, node, path string, query url.Values, into any) error {
	if f.cfg.Ask == nil {
		return errCannotAsk
	}
	return f.cfg.Ask(ctx, node, path, query, into)
}
