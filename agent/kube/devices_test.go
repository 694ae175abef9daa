package kube

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/klog/v2"
	deviceplugin "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
	"k8s.io/kubernetes/pkg/kubelet/cm/containermap"
	"k8s.io/kubernetes/pkg/kubelet/cm/devicemanager"
	plugin "k8s.io/kubernetes/pkg/kubelet/cm/devicemanager/plugin/v1beta1"
	"k8s.io/kubernetes/pkg/kubelet/cm/topologymanager"
)

const benchResource = "kedge.io/egress-kbps"

// allReady tells kubelet's device manager that all sources of pods were read.
type allReady struct{}

func (allReady) AddSource(string) {}
func (allReady) AllReady() bool   { return true }

// BenchmarkDeviceIDs is what it would cost to publish bandwidth by a device
// plugin, which has one device for each kbit/s: upstream's device manager with
// its own stub of a plugin. Upstream fixes the path of its folder, so it runs in
// a mount namespace only:
//
//	unshare -m sh -c 'mount -t tmpfs none /var/lib/kubelet && go test -run - -bench DeviceIDs -benchtime 1x ./agent/kube'
func BenchmarkDeviceIDs(b *testing.B) {
	var fs unix.Statfs_t
	if err := unix.Statfs("/var/lib/kubelet", &fs); err != nil || fs.Type != unix.TMPFS_MAGIC {
		b.Skip("needs a mount namespace with an own /var/lib/kubelet, see the comment")
	}
	for _, mbits := range []int{10, 100, 200, 1000} {
		b.Run(fmt.Sprintf("%dMbit", mbits), func(b *testing.B) {
			for range b.N {
				publishDevices(b, mbits*1000)
			}
		})
	}
}

// publishDevices registers a plugin with n devices and gives half of them to a
// pod.
func publishDevices(b *testing.B, n int) {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	logger := klog.FromContext(ctx)
	// Nothing of the round before: the folder is the mount namespace's own.
	if err := os.RemoveAll(deviceplugin.DevicePluginPath); err != nil {
		b.Fatal(err)
	}
	before := heap()
	manager, err := devicemanager.NewManagerImpl(nil, topologymanager.NewFakeManager())
	if err != nil {
		b.Fatal(err)
	}
	pod := devicePod(int64(n / 2))
	active := func() []*corev1.Pod { return []*corev1.Pod{pod} }
	if err := manager.Start(logger, active, allReady{}, containermap.NewContainerMap(), sets.New[string]()); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = manager.Stop(logger) }()
	devices := make([]*deviceplugin.Device, n)
	for i := range devices {
		devices[i] = &deviceplugin.Device{ID: fmt.Sprint(i), Health: deviceplugin.Healthy}
	}
	socket := filepath.Join(deviceplugin.DevicePluginPath, fmt.Sprintf("bench-%d-%d.sock", n, time.Now().UnixNano()))
	stub := plugin.NewDevicePluginStub(logger, devices, socket, benchResource, false, false)
	stub.SetAllocFunc(func(r *deviceplugin.AllocateRequest, _ map[string]*deviceplugin.Device) (*deviceplugin.AllocateResponse, error) {
		return &deviceplugin.AllocateResponse{ContainerResponses: make([]*deviceplugin.ContainerAllocateResponse, len(r.ContainerRequests))}, nil
	})
	start := time.Now()
	if err := stub.Start(ctx); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = stub.Stop(logger) }()
	if err := stub.Register(ctx, deviceplugin.KubeletSocket, benchResource, deviceplugin.DevicePluginPath); err != nil {
		b.Fatal(err)
	}
	taken, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if !poll(taken, 10*time.Millisecond, func() bool {
		capacity, _, _ := manager.GetCapacity()
		q := capacity[benchResource]
		return q.Value() == int64(n)
	}) {
		b.Skipf("kubelet did not take %d devices within 20 s: the message is larger than gRPC's 4 MiB", n)
	}
	b.ReportMetric(float64(time.Since(start).Milliseconds()), "ms-register")
	start = time.Now()
	if err := manager.Allocate(pod, &pod.Spec.Containers[0]); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(time.Since(start).Milliseconds()), "ms-allocate")
	if info, err := os.Stat(filepath.Join(deviceplugin.DevicePluginPath, deviceCheckpoint)); err == nil {
		b.ReportMetric(float64(info.Size())/1e6, "MB-file")
	}
	b.ReportMetric(float64(heap()-before)/1e6, "MB-heap")
	runtime.KeepAlive(devices)
}

func devicePod(kbps int64) *corev1.Pod {
	list := corev1.ResourceList{benchResource: *resource.NewQuantity(kbps, resource.DecimalSI)}
	pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "a", Resources: corev1.ResourceRequirements{Requests: list, Limits: list}}}}}
	pod.Name, pod.Namespace, pod.UID = "pod", "default", types.UID(fmt.Sprint("uid-", time.Now().UnixNano()))
	return pod
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
