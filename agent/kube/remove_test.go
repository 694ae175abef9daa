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
		if err := removePlugins(dir, filepath.Join(t.TempDir(), "none")); err != nil {
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
	if err := removePlugins(dir, filepath.Join(t.TempDir(), "none")); err != nil {
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
	if err := removePlugins(dir, filepath.Join(t.TempDir(), "none")); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(plugin); err != nil {
		t.Error(err)
	}
}

func TestEmptyFoldersOfVolumePluginsAreRemoved(t *testing.T) {
	for _, plugin := range []string{"", "vendor~driver"} {
		above := t.TempDir()
		volumes := filepath.Join(above, "kubernetes", "kubelet-plugins", "volume", "exec")
		if err := os.MkdirAll(filepath.Join(volumes, plugin), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := removePlugins(pluginDir(t), volumes+"/"); err != nil {
			t.Error(err)
		}
		_, err := os.Stat(filepath.Join(above, "kubernetes"))
		if stays := err == nil; stays != (plugin != "") {
			t.Errorf("with plugin %q: %v", plugin, err)
		}
		if _, err := os.Stat(above); err != nil {
			t.Error(err)
		}
	}
}

func TestVolumePluginFolderOfALivingKubeletStays(t *testing.T) {
	dir, volumes := pluginDir(t), t.TempDir()
	l, err := net.Listen("unix", filepath.Join(dir, "kubelet.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := removePlugins(dir, volumes); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(volumes); err != nil {
		t.Error(err)
	}
}
