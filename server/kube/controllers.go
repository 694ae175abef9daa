package kube

import (
	"context"
	"fmt"

	"github.com/spf13/pflag"
	"k8s.io/kubernetes/cmd/kube-controller-manager/app"
	"k8s.io/kubernetes/cmd/kube-controller-manager/app/options"
	"k8s.io/kubernetes/cmd/kube-controller-manager/names"

	"github.com/kedge-io/kedge/internal/kubeglobals"
	"github.com/kedge-io/kedge/internal/lifecycle"
)

// newControllerManager returns the controllers. They are ready when the one
// that everything else waits for has worked: the default service account
// exists.
func newControllerManager(cfg Config) lifecycle.Component {
	return lifecycle.Component{
		Name:  ControllerManager,
		Needs: []string{APIServer},
		Run: func(ctx context.Context, ready func()) error {
			s, err := options.NewKubeControllerManagerOptions()
			if err != nil {
				return fmt.Errorf("options of the controller manager: %w", err)
			}
			known, off, aliases := app.KnownControllers(), app.ControllersDisabledByDefault(), app.ControllerAliases()
			fs := pflag.NewFlagSet(ControllerManager, pflag.ContinueOnError)
			for _, set := range s.Flags(known, off, aliases).FlagSets {
				fs.AddFlagSet(set)
			}
			args := kubeglobals.Args(controllerManagerDefaults(cfg), cfg.ControllerManagerArgs)
			if err := kubeglobals.Parse(fs, args, "--kube-controller-manager-arg"); err != nil {
				return err
			}
			config, err := s.Config(ctx, known, off, aliases)
			if err != nil {
				return fmt.Errorf("configure the controller manager: %w", err)
			}
			if err := announceBuilt(config.Kubeconfig, cfg.ControllersBuilt); err != nil {
				return err
			}
			go announceWhen(ctx, cfg, defaultServiceAccountExists, ready)
			if err := app.Run(ctx, config.Complete()); err != nil && ctx.Err() == nil {
				return fmt.Errorf("run the controllers: %w", err)
			}
			return ctx.Err()
		},
	}
}

func controllerManagerDefaults(cfg Config) map[string]string {
	f := cfg.Certs
	return map[string]string{
		"allocate-node-cidrs":                             "true",
		"authentication-kubeconfig":                       f.ControllerManagerKubeconfig,
		"authorization-kubeconfig":                        f.ControllerManagerKubeconfig,
		"cluster-cidr":                                    cfg.ClusterCIDR.String(),
		"cluster-signing-kube-apiserver-client-cert-file": f.ClientCA.Cert,
		"cluster-signing-kube-apiserver-client-key-file":  f.ClientCA.Key,
		"cluster-signing-kubelet-client-cert-file":        f.ClientCA.Cert,
		"cluster-signing-kubelet-client-key-file":         f.ClientCA.Key,
		"cluster-signing-kubelet-serving-cert-file":       f.KubeletCA.Cert,
		"cluster-signing-kubelet-serving-key-file":        f.KubeletCA.Key,
		"cluster-signing-legacy-unknown-cert-file":        f.ServerCA.Cert,
		"cluster-signing-legacy-unknown-key-file":         f.ServerCA.Key,
		"controllers": "*,-" + names.BootstrapSignerController + ",-" + names.TokenCleanerController +
			",-" + names.RootCACertificatePublisherController, // see newRootCA
		// With upstream's 20 a second the controllers, which make an account and
		// a token each, wait for themselves for seconds at every start.
		"kube-api-burst": "400",
		"kube-api-qps":   "200",
		"kubeconfig":     f.ControllerManagerKubeconfig,
		"leader-elect":   "false",
		"profiling":      "false",
		"root-ca-file":   f.ServerTrust,
		"secure-port":    "0", // one process: its metrics are among the API server's
		// Without "service-account-private-key-file" the controller manager leaves
		// Secrets with tokens to newRootCA.
		"service-cluster-ip-range":        cfg.ServiceCIDR.String(),
		"use-service-account-credentials": "true",
	}
}
