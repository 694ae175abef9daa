package kube

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	deviceplugin "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
	"k8s.io/kubernetes/pkg/kubelet/apis/config/v1beta1"
)

// RemoveAll removes what kubelet keeps outside its root directory: the folders
// of device plugins, whose path upstream fixes, and of volume plugins, where they
// are by default. Plugins of others stay, and where another kubelet of the host
// answers on the socket among them, nothing is removed. kubelet must not be
// running any more; may be repeated.
func RemoveAll() error {
	return removePlugins(deviceplugin.DevicePluginPath, v1beta1.DefaultVolumePluginDir)
}

func removePlugins(devices, volumes string) error {
	socket := filepath.Join(devices, filepath.Base(deviceplugin.KubeletSocket))
	if conn, err := net.DialTimeout("unix", socket, time.Second); err == nil {
		_ = conn.Close()
		return nil
	}
	removeEmpty(volumes, 4) // .../kubernetes/kubelet-plugins/volume/exec
	var errs []error
	for _, file := range []string{socket, filepath.Join(devices, deviceCheckpoint), filepath.Join(devices, "DEPRECATION")} {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("remove kubelet's file: %w", err))
		}
	}
	removeEmpty(devices, 2) // .../kubelet/device-plugins
	return errors.Join(errs...)
}

// removeEmpty removes a folder and those that hold it, levels of them in all, up
// to the first in which somebody else keeps something.
func removeEmpty(dir string, levels int) {
	for dir = filepath.Clean(dir); levels > 0; levels-- {
		if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return
		}
		dir = filepath.Dir(dir)
	}
}
