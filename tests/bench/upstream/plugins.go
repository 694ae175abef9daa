package main

// containerd's plugins are those that kedge links; its stock program has some
// more, which would cost the baseline memory and time.
import (
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/kubernetes"

	_ "github.com/kedge-io/kedge/agent/runtime"
)
