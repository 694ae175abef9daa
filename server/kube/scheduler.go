package kube

import (
	"context"
	"fmt"

	"github.com/spf13/pflag"
	"k8s.io/kubernetes/cmd/kube-scheduler/app"
	"k8s.io/kubernetes/cmd/kube-scheduler/app/options"

	"github.com/kedge-io/kedge/internal/kubeglobals"
	"github.com/kedge-io/kedge/internal/lifecycle"
	"github.com/kedge-io/kedge/server/kube/shortage"
)

// newScheduler returns the scheduler, ready when its caches are filled.
func newScheduler(cfg Config) lifecycle.Component {
	return lifecycle.Component{
		Name:  Scheduler,
		Needs: []string{APIServer},
		Run: func(ctx context.Context, ready func()) error {
			opts := options.NewOptions()
			fs := pflag.NewFlagSet(Scheduler, pflag.ContinueOnError)
			for _, set := range opts.Flags.FlagSets {
				fs.AddFlagSet(set)
			}
			args := kubeglobals.Args(schedulerDefaults(cfg), cfg.SchedulerArgs)
			if err := kubeglobals.Parse(fs, args, "--kube-scheduler-arg"); err != nil {
				return err
			}
			if err := configureScheduler(cfg, opts); err != nil {
				return err
			}
			complete, sched, err := app.Setup(ctx, opts, app.WithPlugin(shortage.Name, shortage.New))
			if err != nil {
				return fmt.Errorf("set up the scheduler: %w", err)
			}
			go func() {
				complete.InformerFactory.WaitForCacheSync(ctx.Done())
				if sched.WaitForHandlersSync(ctx) == nil {
					ready()
				}
			}()
			// Without leader election upstream's Run ends with an error even
			// when it was told to stop.
			if err := app.Run(ctx, complete, sched); err != nil && ctx.Err() == nil {
				return fmt.Errorf("run the scheduler: %w", err)
			}
			return ctx.Err()
		},
	}
}

func schedulerDefaults(cfg Config) map[string]string {
	kubeconfig := cfg.Certs.SchedulerKubeconfig
	return map[string]string{
		"authentication-kubeconfig": kubeconfig,
		"authorization-kubeconfig":  kubeconfig,
		"kubeconfig":                kubeconfig,
		"leader-elect":              "false",
		"profiling":                 "false",
		"secure-port":               "0",
	}
}
