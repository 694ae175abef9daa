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
)

// RemoveAll removes what kubelet keeps outside its root directory: the folder
// of device plugins, whose path upstream fixes. Where another kubelet of the
// host answers on the socket in it, nothing is removed. kubelet must not be
// running any more; may be repeated.
func RemoveAll() error { return removeDevicePlugins(deviceplugin.DevicePluginPath) }

func removeDevicePlugins(dir string) error {
	socket := filepath.Join(dir, filepath.Base(deviceplugin.KubeletSocket))
	if conn, err := net.DialTimeout("unix", socket, time.Second); err == nil {
		_ = conn.Close()
		return nil
	}
	var errs []error
	for _, file := range []string{socket, filepath.Join(dir, deviceCheckpoint), filepath.Join(dir, "DEPRECATION")} {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("remove kubelet's file: %w", err))
		}
	}
	// Only when nobody else keeps something there.
	_ = os.Remove(dir)
	_ = os.Remove(filepath.Dir(filepath.Clean(dir)))
	return errors.Join(errs...)
}
