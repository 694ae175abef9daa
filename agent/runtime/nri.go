package runtime

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/containerd/nri/pkg/api"
	"github.com/containerd/nri/pkg/net/multiplex"
	"github.com/containerd/ttrpc"

	"github.com/kedge-io/kedge/agent/runtime/pods"
)

// The connection is spoken here rather than with upstream's stub, because that
// waits for ever when containerd ends between registration and configuration,
// and reads environment variables that any parent may have set.

const (
	// nriService is the plugin's end (nri/pkg/api/api.proto).
	nriService = "nri.pkg.api.v1alpha1.Plugin"
	nriName    = "kedge"
	// nriIndex orders plugins; ours changes nothing, so its place is free.
	nriIndex = "10"
	// nriAnswer bounds what containerd answers at once.
	nriAnswer = 5 * time.Second
)

// nriEvents are what containerd is to send.
var nriEvents = []api.Event{
	api.Event_RUN_POD_SANDBOX, api.Event_STOP_POD_SANDBOX, api.Event_REMOVE_POD_SANDBOX,
	api.Event_START_CONTAINER, api.Event_STOP_CONTAINER, api.Event_REMOVE_CONTAINER,
}

// plugin is our end of one connection.
type plugin struct {
	// tell hands one event to the observer, all the whole state.
	tell func(context.Context, pods.Event)
	all  func(context.Context, []pods.Sandbox, []pods.Container)

	mu         sync.Mutex // parts of one state that comes in several messages
	sandboxes  []pods.Sandbox
	containers []pods.Container
}

// serve registers p over conn and answers until the connection or ctx ends. It
// closes conn and leaves no goroutine.
func (p *plugin) serve(ctx context.Context, conn net.Conn) error {
	mux := multiplex.Multiplex(conn)
	defer func() { _ = mux.Close() }()
	listener, err := mux.Listen(multiplex.PluginServiceConn)
	if err != nil {
		return err
	}
	toRuntime, err := mux.Open(multiplex.RuntimeServiceConn)
	if err != nil {
		return err
	}
	server, err := ttrpc.NewServer()
	if err != nil {
		return err
	}
	server.RegisterService(nriService, &ttrpc.ServiceDesc{Methods: p.methods()})
	gone := make(chan struct{})
	client := ttrpc.NewClient(toRuntime, ttrpc.WithOnClose(func() { close(gone) }))
	defer func() { _ = client.Close() }()
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(ctx, listener) // it ends with the connection or because of us
	}()
	defer func() {
		_ = server.Close()
		<-served
	}()

	limited, cancel := context.WithTimeout(ctx, nriAnswer)
	defer cancel()
	me := &api.RegisterPluginRequest{PluginName: nriName, PluginIdx: nriIndex}
	if _, err := api.NewRuntimeClient(client).RegisterPlugin(limited, me); err != nil {
		return fmt.Errorf("register with containerd: %w", err)
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-gone:
		return errHooksGone
	}
}

// methods are those of the service that are called for our events. Others are
// answered as not implemented.
func (p *plugin) methods() map[string]ttrpc.Method {
	return map[string]ttrpc.Method{
		"Configure":        method(p.configure),
		"Synchronize":      method(p.synchronize),
		"RunPodSandbox":    podMethod[api.RunPodSandboxRequest](p, pods.PodStarted, &api.RunPodSandboxResponse{}),
		"StopPodSandbox":   podMethod[api.StopPodSandboxRequest](p, pods.PodStopped, &api.StopPodSandboxResponse{}),
		"RemovePodSandbox": podMethod[api.RemovePodSandboxRequest](p, pods.PodRemoved, &api.RemovePodSandboxResponse{}),
		"StartContainer":   containerMethod[api.StartContainerRequest](p, pods.ContainerStarting, &api.StartContainerResponse{}),
		"StopContainer":    containerMethod[api.StopContainerRequest](p, pods.ContainerStopped, &api.StopContainerResponse{}),
		"RemoveContainer":  containerMethod[api.RemoveContainerRequest](p, pods.ContainerRemoved, &api.RemoveContainerResponse{}),
	}
}

func method[Req, Resp any](f func(context.Context, *Req) (*Resp, error)) ttrpc.Method {
	return func(ctx context.Context, unmarshal func(any) error) (any, error) {
		req := new(Req)
		if err := unmarshal(req); err != nil {
			return nil, err
		}
		return f(ctx, req)
	}
}

// podMethod makes an event of a request. The answer is never an error: that
// would keep the pod from starting.
func podMethod[Req any, P interface {
	*Req
	GetPod() *api.PodSandbox
}, Resp any](p *plugin, kind pods.Kind, answer *Resp) ttrpc.Method {
	return method(func(ctx context.Context, req *Req) (*Resp, error) {
		p.tell(ctx, pods.Event{Kind: kind, Pod: sandboxOf(P(req).GetPod())})
		return answer, nil
	})
}

func containerMethod[Req any, P interface {
	*Req
	GetPod() *api.PodSandbox
	GetContainer() *api.Container
}, Resp any](p *plugin, kind pods.Kind, answer *Resp) ttrpc.Method {
	return method(func(ctx context.Context, req *Req) (*Resp, error) {
		p.tell(ctx, pods.Event{Kind: kind, Pod: sandboxOf(P(req).GetPod()), Container: containerOf(P(req).GetContainer())})
		return answer, nil
	})
}

func (p *plugin) configure(context.Context, *api.ConfigureRequest) (*api.ConfigureResponse, error) {
	var mask api.EventMask
	mask.Set(nriEvents...)
	return &api.ConfigureResponse{Events: int32(mask)}, nil
}

func (p *plugin) synchronize(ctx context.Context, req *api.SynchronizeRequest) (*api.SynchronizeResponse, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, pod := range req.GetPods() {
		p.sandboxes = append(p.sandboxes, sandboxOf(pod))
	}
	for _, c := range req.GetContainers() {
		p.containers = append(p.containers, containerOf(c))
	}
	if !req.GetMore() {
		p.all(ctx, p.sandboxes, p.containers)
		p.sandboxes, p.containers = nil, nil
	}
	return &api.SynchronizeResponse{More: req.GetMore()}, nil
}

func sandboxOf(p *api.PodSandbox) pods.Sandbox {
	s := pods.Sandbox{
		ID: p.GetId(), UID: p.GetUid(), Namespace: p.GetNamespace(), Name: p.GetName(),
		Labels: p.GetLabels(), Annotations: p.GetAnnotations(), Pid: int(p.GetPid()),
	}
	for _, ns := range p.GetLinux().GetNamespaces() {
		if ns.GetType() == "network" {
			s.NetNS = ns.GetPath()
		}
	}
	for _, text := range p.GetIps() {
		if addr, err := netip.ParseAddr(text); err == nil {
			s.Addrs = append(s.Addrs, addr)
		}
	}
	return s
}

func containerOf(c *api.Container) pods.Container {
	return pods.Container{
		ID: c.GetId(), Sandbox: c.GetPodSandboxId(), Name: c.GetName(), Annotations: c.GetAnnotations(),
		Pid: int(c.GetPid()), CgroupsPath: c.GetLinux().GetCgroupsPath(),
	}
}
