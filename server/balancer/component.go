package balancer

import (
	"context"

	"github.com/kedge-io/kedge/internal/lifecycle"
)

// Component returns the component for a group. It is ready once all services were
// looked at.
func (b *Balancer) Component(needs ...string) lifecycle.Component {
	return lifecycle.Component{Name: Name, Needs: needs, Run: func(ctx context.Context, ready func()) error {
		ctx, stop := context.WithCancel(ctx)
		told := make(chan struct{})
		go func() {
			defer close(told)
			select {
			case <-b.synced:
				ready()
			case <-ctx.Done():
			}
		}()
		defer func() { stop(); <-told }()
		return b.Run(ctx)
	}}
}
