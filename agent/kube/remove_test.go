package kube

import (
	"net"
	"os"
	"path/filepath"
	"testing"
)

func pluginDir(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "kubelet", "device-plugins")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestDevicePluginFolderOfADeadKubeletIsRemoved(t *testing.T) {
	dir := pluginDir(t)
	l, err := net.Listen("unix", filepath.Join(dir, "kubelet.sock"))
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := removeDevicePlugins(dir); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(filepath.Dir(dir)); err == nil {
			t.Error("the folder is still there")
		}
	}
}

func TestDevicePluginFolderOfALivingKubeletStays(t *testing.T) {
	dir := pluginDir(t)
	l, err := net.Listen("unix", filepath.Join(dir, "kubelet.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := removeDevicePlugins(dir); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "kubelet.sock")); err != nil {
		t.Error(err)
	}
}

func TestFilesOfDevicePluginsStay(t *testing.T) {
	dir := pluginDir(t)
	plugin := filepath.Join(dir, "gpu.sock")
	if err := os.WriteFile(plugin, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := removeDevicePlugins(dir); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(plugin); err != nil {
		t.Error(err)
	}
}
